"""How people word a task that they want done on a text, in English and Chinese."""

import re

from gateway.prompt.languages import LANGUAGE_WORD

_VERBS = "|".join(
    (
        "classify|categori[sz]e|label|tag|translate|summari[sz]e|condense|shorten|paraphrase|rephrase|rewrite|reword",
        "polish|proofread|edit|improve|correct|fix|debug|review|refactor|explain|describe|analy[sz]e|extract|find|list",
        "identify|determine|detect|recogni[sz]e|convert|simplify|answer|solve|calculate|compute|read|tell|give|name",
        "decide|assign|route|rate|judge|check|compare|turn|make|write|draft|reply|respond|put|pull|take|parse|get|say",
    )
)
TEXT_WORD = (
    "(?:texts?|messages?|sentences?|query|question|utterance|passage|paragraph|article|review|comment|tweet|e-?mail|letter|"
    "notes?|document|report|code|snippet|function|script|error|problem|request|customer|user|phrase|words?|statement|"
    "story|input|intent|intention|category|class|label|topic|sentiment|emotion|language|translation|summary|"
    "person|client|caller|assistant|chatbot|command|ticket|enquiry|inquiry|issue)"
)
_POLITE = r"(?:(?:please|kindly|now|hey|hi|hello|ok|okay)\W+)*"
_WISH = (
    r"(?:(?:can|could|would|will) you (?:please )?|i (?:want|need|would like|'d like) (?:you )?to |"
    r"help me (?:to )?|let's )?"
)
_POINTER = rf"(?:this|that|these|those|the following|following|below|above|the (?:[\w-]+ )?{TEXT_WORD})"

_TASK_EN = re.compile(
    rf"^\W*{_POLITE}{_WISH}(?:{_VERBS})\b|\b{_POINTER}\b|\b{TEXT_WORD}\b.*\?|^\W*{TEXT_WORD}\W*$"
    rf"|^\W*(?:in|into|to) \w+\W*$|\b(?:what|which|how|who|whose|why|is|does)\b.*\b{TEXT_WORD}\b",
    re.IGNORECASE,
)
_TASK_ZH = re.compile(
    r"请|帮我|把|将|翻译|译成|总结|概括|归纳|摘要|概述|分类|归类|判断|提取|抽取|找出|列出|润色|改写|修改|校对|改正|优化|解释|说明|分析|"
    r"识别|转换|简化|回答|解答|计算|求解|修复|审查|下面|以下|下列|上面|上述|以上|如下|这[段句篇条个些]|哪[一个种类]|什么|意图|类别|"
    r"情感|主题"
)
_ABOUT_TEXT = re.compile(
    rf"\b(?:this|following|{TEXT_WORD})\b|这[段句篇条个些]|以下|下面|意图|类别|情感|上述|以上", re.IGNORECASE
)
KIND_WORD = re.compile(
    r"\b(?:intent|intention|category|label|sentiment|emotion|topic)\b|意图|类别|情感|主题", re.IGNORECASE
)
"""What a text is asked to be sorted by."""
POINTS_BACK = re.compile(
    rf"\b(?:this|that|above|it|the (?:[\w-]+ )?{TEXT_WORD})\b|以上|上面|上述|这[段句篇条个些]|前面", re.IGNORECASE
)

OFFERS = re.compile(
    r"\b(?:labels|categories|classes|options|choices|intents|topics|one of(?: \w+){0,3})\W*$"
    r"|(?:标签|类别|选项|分类)\W*$",
    re.IGNORECASE,
)
"""What stands before a list of choices, which is no text to work on."""

_VERB_LED = {
    "how-say": (
        r"^\W*(?:how (?:do|would|can|should) (?:you|i|we|one) say|what(?:'s| is))\s+(?P<payload>.+?)\s+in LANG\W*$"
    ),
    "translate-to": r"^\W*(?:\w+ ){0,4}?translate\s+(?P<payload>.+?)\s+(?:from LANG )?(?:in)?to LANG\W*$",
    "in-language": (
        r"^\W*(?:in|into) LANG,?\s+(?:how (?:do|would|can) (?:you|i) say,?|translate)\s+(?P<payload>.+?)\W*$"
    ),
    "把": r"^\W*(?:请|请你|帮我|麻烦|请帮我)?(?:把|将)(?P<payload>.+?)(?:翻译|翻|译)(?:成|为|到)LANG\W*$",
    "怎么说": r"^(?P<payload>.+?)(?:用|的)LANG(?:怎么说|怎么讲|怎么写|怎么翻译|翻译)\W*$",
    "用说": r"^\W*(?:请问)?(?:如何|怎么|怎样)?用LANG(?:怎么|如何)?(?:说|讲|表达)(?P<payload>.+?)\W*$",
    "里说": r"^\W*(?:请问)?LANG(?:里|中)?(?:怎么说|怎么讲)(?P<payload>.+?)\W*$",
    "翻译": r"^\W*(?:请|请你|帮我|麻烦)*(?:翻译|译)(?:一下)?(?P<payload>.+?)(?:成|为|到)LANG\W*$",
    "verb": (
        r"^\W*(?:please |can you |could you |would you |help me )*"
        r"(?:classify|categori[sz]e|label|proofread|polish|rephrase|reword|paraphrase|correct|translate)\s+"
        rf"(?:(?:this|the|the following|my|following)\s+(?:[\w-]+ )?{TEXT_WORD}\s+)?"
        r"(?P<payload>\S+(?:\s+\S+){2,}?)[ \t]*$"
    ),
}
VERB_LED = {
    name: re.compile(pattern.replace("LANG", LANGUAGE_WORD), re.IGNORECASE | re.DOTALL)
    for name, pattern in _VERB_LED.items()
}
"""A verb and its object, `translate good morning into French`, by rule; the group is the payload."""

TASK_CHARS = 400
"""An instruction about a text is not longer than this."""


def is_task(text: str) -> bool:
    """Whether the text asks for something to be done on another text."""
    return 0 < len(text.strip()) <= TASK_CHARS and bool(_TASK_EN.search(text) or _TASK_ZH.search(text))


def is_about_text(sentence: str) -> bool:
    """A task that points at a text, as a question about the world does not."""
    return is_task(sentence) and bool(_ABOUT_TEXT.search(sentence))
