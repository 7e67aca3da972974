"""Reads a conversation for retrieval: which texts to search for, and whether to search at all."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from gateway.ask import Turn
from gateway.context.fence import language_of
from gateway.context.long.shape import shape_of
from gateway.context.store.words import IS_SPACELESS, STOP, words_of
from gateway.context.task.features import sentences
from gateway.context.task.rules import is_order

FEW_WORDS = 3
"""A message with at most this many words may need the message before it. Stop words are not counted."""
FEW_CHARS = 8
"""The same limit in characters, for a message in a script without spaces."""
TASK_WORDS, QUESTION_WORDS = 25, 150
"""The minimum number of words in a text beside a task, and in a text beside a question. The second number is larger,
since a question may need some lines of explanation.
"""
CHARS_PER_WORD = 2
"""In scripts without spaces, this many characters count as one word."""

OPENING = re.compile(
    r"^\W*(?:and|but|or|so|also|then|what about|how about|what if|why|same|which (?:one|of)|for (?:how|what|which))\b"
    r"|^\s*(?:那|还有|以及|然后|另外|为什么|这|它|他|她)|呢\s*[?？]?\s*$",
    re.IGNORECASE,
)
REFERRING = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|he|him|his|she|her|former|latter|above)\b"
    r"|它|他们|她们|这个|那个|这些|那些|上面|上述",
    re.IGNORECASE,
)
"""Words that refer to something in an earlier message."""
CHINESE_TALK = re.compile(
    r"你好|您好|大家好|嗨|哈喽|早上好|上午好|中午好|下午好|晚上好|早安|晚安|谢谢你?|感谢|多谢|辛苦了?|不客气|没关系|没问题"
    r"|再见|拜拜|回头见|好的|好吧|好|嗯+|哦+|行|可以|是的|对|不用了?|哈+|呵+|对不起|抱歉|不好意思|知道了|明白了?|懂了|收到"
    r"|你是谁|的?帮[助忙]|非常|太|很|了|啊|呀|吧|棒|您|你|们|！|。|，|～"
)
ON_A_TEXT = re.compile(
    r"\A[^\n:：\"“「]{0,24}\b(?:translat\w*|summari[sz]e|sum up|paraphrase|proofread|correct(?! me)|edit|rewrite|reword"
    r"|rephrase|shorten|condense|simplify|polish|improve|fix|convert|classify|categori[sz]e|label|extract|annotate|continue|complete"
    r"|reply to|respond to)\b[^\n:：\"“「]{0,200}[\n:：\"“「]"
    r"|\A[^\n:：\"“「]{0,12}(?:翻译|译成|总结|概括|归纳|摘要|改写|润色|校对|修改|纠正|缩写|扩写|续写|简化|提取|分类|回复)"
    r"[^\n:：\"“「]{0,60}[\n:：\"“「]",
    re.IGNORECASE,
)
"""Matches a task of one line that is followed by its text."""
FEWEST_TEXT_WORDS = 3
_TEXTS = (
    "text|document|article|report|story|letter|e-?mail|transcript|contract|paper|essay|code|list|table|log|notes?|poem"
    "|passage|chapter|draft|message"
)
EARLIER_TEXT = re.compile(
    rf"\b(?:{_TEXTS})s?\b[^.?!\n]{{0,20}}\b(?:above|earlier|before|i (?:sent|pasted|gave|posted|shared))\b"
    rf"|\b(?:above|earlier|previous|first|pasted) (?:{_TEXTS})s?\b|\bthe above\b"
    r"|(?:上面|上述|上文|前面|之前|刚才|先前|我发)[^。？！\n]{0,8}(?:文|段|篇|稿|信|合同|报告|代码|记录|内容|材料|东西|的)",
    re.IGNORECASE,
)
"""Matches words that name a text in an earlier message."""
THAT_TEXT = re.compile(
    rf"\b(?:it|this|that|them|these|those|all of it)\b|\bthe (?:whole |entire |full )?(?:{_TEXTS})s?\b"
    "|它|这篇|这段|全文|原文|文章",
    re.IGNORECASE,
)
"""Matches words of an order that may stand for a text in an earlier message."""


def queries_of(turns: Sequence[Turn], last: str) -> tuple[str, ...]:
    """Return the texts to search for. The first is `last`, the user's last message.

    If `last` refers to the message before it, as "And for trainees?" does, a second text consists of both messages.
    """
    earlier = [turn.text.strip() for turn in turns if turn.role == "user"][:-1]
    if not last:
        return ()
    return (last, f"{earlier[-1]}\n{last}") if earlier and earlier[-1] and refers_back(last) else (last,)


def refers_back(message: str) -> bool:
    """Whether a message cannot be understood without the message before it."""
    if is_small_talk(message):
        return False
    if OPENING.search(message) or REFERRING.search(message):
        return True
    if IS_SPACELESS.search(message):
        return len(message.strip()) <= FEW_CHARS
    return len([word for word in words_of(message) if word not in STOP]) <= FEW_WORDS


def is_small_talk(message: str) -> bool:
    """Whether a message is only a greeting, thanks, agreement or the like."""
    if IS_SPACELESS.search(message):
        return not re.sub(r"\W", "", CHINESE_TALK.sub("", message))
    words = [word for word in words_of(message) if word not in STOP]
    return all(word in _talk() for word in words)


def brings_its_text(message: str) -> bool:
    """Whether a message contains both a task and the text to work on, such as `Translate into French: The train is
    late.`
    """
    task = ON_A_TEXT.match(message)
    if task and _length(message[task.end() :]) >= FEWEST_TEXT_WORDS:
        return True
    shape = shape_of(message)
    if not shape.task:
        return False
    return _length(shape.text) >= (QUESTION_WORDS if shape.task.rstrip().endswith(("?", "？")) else TASK_WORDS)


def is_on_earlier_text(turns: Sequence[Turn], message: str) -> bool:
    """Whether a message is a task on a long text in an earlier message, such as `Now translate the text above.`"""
    earlier = [turn.text for turn in turns if turn.role == "user"][:-1]
    if not any(_length(text) >= QUESTION_WORDS for text in earlier):
        return False
    if EARLIER_TEXT.search(message):
        return True
    language = language_of(message)
    orders = any(is_order(sentence, language) for sentence in sentences(message))
    return orders and THAT_TEXT.search(message) is not None


def _length(text: str) -> int:
    """Return the number of words. In scripts without spaces, `CHARS_PER_WORD` characters count as one word."""
    return len(text.split()) + len(IS_SPACELESS.findall(text)) // CHARS_PER_WORD


@lru_cache(maxsize=1)
def _talk() -> frozenset[str]:
    return frozenset(words_of(Path(__file__).with_name("small_talk.txt").read_text("utf-8")))
