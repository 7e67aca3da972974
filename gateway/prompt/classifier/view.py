"""What the classifier reads of a prompt: the request without its payload.

`What is the intent of this message: "I lost my card"` is the same kind of request as one about any other message.
Therefore only the instruction is embedded and read.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.language.literals import STATEMENT_END
from gateway.prompt.language.payload import split
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, any_of, folded
from gateway.prompt.language.wording import without_frame
from gateway.split import Split

HEAD_WORDS, TAIL_WORDS = 40, 16  # an instruction is at the start or at the end
HEAD_ZH, TAIL_ZH = 60, 24  # the same two limits in Chinese characters
SHORTEST, SHORTEST_ZH = 4, 2  # characters; a shorter instruction is unclear without its payload
FEW = 8  # characters; words before a colon that are not longer only announce a request, such as "A riddle:"
ANNOUNCED_CHARS = 300  # a longer text is one to work on, and its task is at the start or the end
ANNOUNCEMENT_CHARS = 40
IN_LINE = frozenset({"sentence", "sentence-before", "colon"})
"""The names of the rules that find a payload on the line of its instruction."""
TOLD_CHARS = 400
LAST_MARKS = " \n\t.!?:,;。！？：，；"
NEARLY_ALL = 0.9  # if the instruction is at least this share of the prompt, there is no payload

_EN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[^\sa-z\d]")
_SPACED = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[^\s\w]")
_LATIN = re.compile("[a-z][a-z0-9]+")
_CODE = re.compile(
    rf"{STATEMENT_END}|\{{\s*$|"
    r"```|\bdef \w|\bfunction\b|\bclass \w+[:({]|\w\(\)|=>|</\w|\bSELECT\b|\breturn\b|^\s*#include"
    r"|^\s*(?:for \w+ in\b|if\b|elif\b|while\b|else\b|try\b|with\b)[^\n]*:\s*$|^\s*[\w.]+ (?:=|\+=|<-) [\[{(\"']"
    r"|^\s*(?:import \w|from \w[\w.]* import\b)|\w\.\w+\([^)\n]*\)",
    re.M,
)
_TRACE = re.compile(r"Traceback|\b\w+(?:Error|Exception)\b|undefined is not|segfault|stack trace|报错|异常")
_ARITHMETIC = re.compile(r"\d\s*[-+*/×÷^=%]\s*\d|\d\s*%|[a-z]\^\d|[√∫∑]")
_CODE_SIGN = re.compile(
    r"[{}\[\];|$\\=<>`_]|\w\(|(?<!\w)--?[a-z]|/\w+/|\w\.\w+\(|\b0x|%\w|\w+\.(?:py|js|sh|c|java)\b|\bchmod\b|\bgit \w"
)
_CODE_NEEDS = (
    "```",
    "def ",
    "function",
    "class ",
    "{",
    ";",
    "()",
    "=>",
    "</",
    "SELECT",
    "return",
    "#include",
    ":\n",
    " = ",
    "import ",
    "(",
)
_TRACE_NEEDS = ("Traceback", "Error", "Exception", "undefined is", "segfault", "stack trace", "报错", "异常")
_KINDS = (("<code>", _CODE, _CODE_NEEDS), ("<trace>", _TRACE, _TRACE_NEEDS))
_ARITHMETIC_NEEDS = ("^", "√", "∫", "∑")  # a digit is enough too
_NUMBER = re.compile("[0-9]+")


TECHNICAL = ("<technical>", "<technical 2>")
"""The first mark means that a request has a technical name. The second means that it has at least two."""


class Look(Struct, frozen=True):
    """What the classifier reads of one prompt. `request` is the text to embed: the instruction, or the start and the
    end of a prompt without a payload.
    """

    text: str
    request: str
    rule: str = ""
    """The rule that found the payload; "" if no rule did."""
    written: str = ""
    """The request as it was written, with its polite frame and its marks."""


def look(text: str, parts: Split | None = None, instructions: InstructionModel | None = None) -> Look:
    """Return the classifier's view of a prompt. `parts` is the split prompt, if the caller has already split it.

    `instructions` is the model that separates an instruction from a pasted text. Without this model, the rules of the
    split decide.
    """
    request, rule = _request(text, parts or split(text), instructions)
    return Look(text, _bare(request), rule, request)


def core(seen: Look, instructions: InstructionModel | None) -> Look | None:
    """Return the view of the one sentence of the request that asks, if the others only say what it is about."""
    sentence = instructions.core(seen.written) if instructions is not None else ""
    return Look(seen.text, _bare(sentence), seen.rule, sentence) if sentence else None


def told(seen: Look) -> Look | None:
    """Return the view of the whole line with the request, if the rules took a part of this line for a pasted text. It
    may as well be what the request is about, as in `My laptop has no Wi-Fi after sleep. How can I solve this?`
    """
    line = seen.text.strip().partition("\n")[0]
    if seen.rule not in IN_LINE or len(line) > TOLD_CHARS or len(line) <= len(seen.written) + FEW:
        return None
    return Look(seen.text, _bare(line), "" if len(line) == len(seen.text.strip()) else seen.rule, line)


def _request(text: str, parts: Split, instructions: InstructionModel | None) -> tuple[str, str]:
    """Return the request, and the rule that found the payload."""
    asking = "" if instructions is None else instructions.instruction(text, parts)
    if says_something(asking) and not _is_announcement(asking, text):
        return asking, parts.rule or ("lines" if len(asking) < NEARLY_ALL * len(text.strip()) else "")
    instruction = parts.instruction_text
    silent = not says_something(instruction) or _is_announcement(instruction, text)
    if parts.payload is None or silent or _only_announces(parts, instructions):
        after_colon = instructions is not None and instructions.has_text_after_colon(text)
        return text, parts.rule or ("colon" if after_colon else "")
    return instruction, parts.rule


def _bare(request: str) -> str:
    """Return the request without its polite frame and its last punctuation marks, which people write or leave out."""
    return ends(without_frame(request)).rstrip(LAST_MARKS)


def _only_announces(parts: Split, instructions: InstructionModel | None) -> bool:
    """Return whether the words before the colon only announce a request, as in `A riddle: who ...?`. Such words are
    short or ask for nothing.
    """
    if instructions is None or parts.rule != "colon" or "\n" in parts.payload_text:
        return False
    head = parts.instruction_text
    announces = len(without_frame(head)) <= FEW or instructions.score(head) <= 0.0
    return announces and instructions.score(parts.payload_text) > 0.0


def _is_announcement(instruction: str, text: str) -> bool:
    """Return whether the instruction only announces the text, as in `Here is a word problem.`, and the text is short.
    The task is then in the text.
    """
    return len(text) <= ANNOUNCED_CHARS and _announcement().match(folded(instruction)) is not None


@Derived
def _announcement() -> re.Pattern[str]:
    introductions = "|".join(word for words in VOCABULARY.values() for word in words.task.introductions)
    return re.compile(rf"\W*(?:{introductions or '(?!)'})[^.?!,。？！，]{{0,{ANNOUNCEMENT_CHARS}}}\W*\Z")


def says_something(instruction: str) -> bool:
    """Return whether an instruction is long enough to be read without its payload."""
    return len(instruction) >= (SHORTEST if instruction.isascii() else SHORTEST_ZH)


def whole(text: str) -> Look:
    """Return a view of the whole prompt, for labels that were given to whole prompts."""
    return Look(text, ends(text))


def ends(text: str) -> str:
    """Return the start and the end of a text, since the cost of embedding grows with the length."""
    if len(text) < 4 * HEAD_ZH:
        return text
    words = text.split()
    if len(words) > HEAD_WORDS + TAIL_WORDS:
        text = f"{' '.join(words[:HEAD_WORDS])} … {' '.join(words[-TAIL_WORDS:])}"
    return text if len(text) <= 800 else f"{text[:500]} … {text[-200:]}"


class Keywords:
    """The keywords of the templates. The marks of a keyword are the names of its intents. In a spaced language, a
    keyword is found by its first word.
    """

    def __init__(self, by_intent: Mapping[str, Sequence[str]]) -> None:
        self._marks: dict[str, list[str]] = {}
        for intent, words in by_intent.items():
            for word in words:
                self._marks.setdefault(word, []).append(f"<{intent}>")
        # the longest keyword first, so that "write an email" comes before "write"
        longest = sorted(self._marks, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest)) if longest else r"(?!)")
        self._first: dict[str, list[tuple[list[str], list[str]]]] = {}
        for word in longest:
            parts = (_EN if word.isascii() else _SPACED).findall(word)
            if parts:
                self._first.setdefault(parts[0], []).append((parts, self._marks[word]))

    def marks(self, request: str) -> list[str]:
        """Return the marks of all keywords in the text, for an unspaced language."""
        return [mark for word in self._pattern.findall(request) for mark in self._marks[word]]

    def marks_of(self, words: Sequence[str]) -> list[str]:
        """Return the marks of all keywords among the words, for a spaced language."""
        first = self._first
        tokens: list[str] = []
        for place in [place for place, word in enumerate(words) if word in first]:
            for parts, marks in first[words[place]]:
                if len(parts) == 1 or words[place : place + len(parts)] == parts:
                    tokens += marks
                    break
        return tokens


def plain(request: str) -> str:
    """Return the request in lower case, without extra white space and closing punctuation. Requests are compared in
    this form.
    """
    return " ".join(request.lower().split()).rstrip(LAST_MARKS)


def tokens(seen: Look, language: str, keywords: Keywords) -> list[str]:
    """Return the words, and marks of form such as `<code>`. In Chinese, runs of characters take the place of words.

    Each keyword of a template adds a token with the name of its intent.
    """
    request = seen.request.lower()
    if not VOCABULARY[language].spaced:
        technical = {*filter(_technical_names().__contains__, _LATIN.findall(request))}
        technical.update(_technical_parts().findall(request))
        return [*_grams_zh(request), *keywords.marks(request), *form_marks(seen), *_technical_marks(technical)]
    words = (_EN if request.isascii() else _SPACED).findall(request)
    technical = {*filter(_technical_names().__contains__, words)}
    return [*_grams_en(words), *keywords.marks_of(words), *form_marks(seen), *_technical_marks(technical)]


def _technical_marks(names: Collection[str]) -> list[str]:
    """Return marks for the technical names of a request. With these marks, the classifier recognises requests about a
    tool that is in no example.
    """
    return [*TECHNICAL[: len(names)]]


@Derived
def _technical_names() -> frozenset[str]:
    """Return the technical names of all spaced languages, since such names are the same everywhere."""
    return frozenset(name for words in VOCABULARY.values() if words.spaced for name in words.task.technical)


@Derived
def _technical_parts() -> re.Pattern[str]:
    return any_of(name for words in VOCABULARY.values() if not words.spaced for name in words.task.technical)


def _grams_en(words: Sequence[str]) -> list[str]:
    words = ["#" if word.isdigit() else word for word in words[:80]]
    pairs = [f"{first} {second}" for first, second in pairwise(words)]
    return [*words, *pairs, *(f"^{' '.join(words[:count])}" for count in (1, 2) if len(words) >= count)]


def _grams_zh(request: str) -> list[str]:
    text = re.sub(r"\d+", "#", re.sub(r"\s+", "", request))
    text = text if len(text) <= HEAD_ZH + TAIL_ZH else text[:HEAD_ZH] + text[-TAIL_ZH:]
    runs = [text[start : start + size] for size in (1, 2) for start in range(len(text) - size + 1)]
    return [*runs, *(f"^{text[:count]}" for count in (1, 2) if len(text) >= count)]


def _has_digit(text: str) -> bool:
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded.translate(None, b"0123456789")) < len(encoded)


def has_code(text: str) -> bool:
    """Return whether the text has signs of code, of a command or of an error message that are rare in prose."""
    head = text[:4000]
    return _CODE_SIGN.search(head) is not None or _TRACE.search(head) is not None


def form_marks(seen: Look) -> list[str]:
    """Return marks for the form of the prompt, such as `<code>`.

    A pasted text is searched only for code and error messages. The rest of its form does not show what the user wants.
    """
    text, request = seen.text[:4000], seen.request
    marks = ["<payload>" if seen.rule else "<no payload>"]
    # this test is quick, and most prompts have no digit
    numbers = _NUMBER.findall(request) if _has_digit(request) else ()
    marks.append(f"<numbers {min(3, len(numbers))}>")
    # testing for these characters first is ten times as fast as searching for the pattern
    marks += [mark for mark, pattern, needs in _KINDS if any(map(text.__contains__, needs)) and pattern.search(text)]
    if (numbers or any(map(request.__contains__, _ARITHMETIC_NEEDS))) and _ARITHMETIC.search(request):
        marks.append("<arithmetic>")
    return marks
