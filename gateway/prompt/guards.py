"""Sees to it that a rewrite loses nothing that the user wrote.

Word-for-word containment, no judgement: a number, a quotation, a piece of code, a link, a name, a
negation or a constraint of the query is in the rewritten prompt, or the rewrite is dropped.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from gateway.exchange import Turn
from gateway.prompt import marks

UNCHECKED_CHARS = 4_000
"""So much text outside of every slot is not an instruction; it is taken as lost."""


def lost(original: str, turns: Sequence[Turn], kept: Sequence[tuple[int, int]] = ()) -> tuple[str, ...]:
    """What of `original` is not in the turns any more; () if nothing is.

    `turns` must be rendered without examples, so that no example can stand in for what the user
    wrote. `kept` are spans of the original that the turns are known to repeat, such as a payload;
    each is checked, as a whole, and then not looked into.
    """
    text = "\n".join(turn.text for turn in turns if turn.role in ("system", "user"))
    if original.strip() in text:
        return ()
    rest = original
    for start, end in sorted(kept, reverse=True):
        span = original[start:end].strip()
        if span and len(span) > 1 and span in text:
            rest = rest[:start] + "\n" + rest[end:]
    if len(rest) > UNCHECKED_CHARS:
        return (f"{len(rest)} characters outside the template's slots",)
    needed = Counter(hard_items(rest))
    return tuple(item for item, times in needed.items() if not _holds(text, item, times))


def hard_items(text: str) -> Iterator[str]:
    """Every piece of the text that has to survive word for word, in the order of the kinds below."""
    for block in reversed(marks.fences(text)):
        yield text[block.body_start : block.body_end]
        text = text[: block.start] + "\n" + text[block.end :]
    for pattern in (marks.INLINE_CODE, marks.URL, marks.EMAIL, marks.QUOTED, marks.TITLE, marks.PLACEHOLDER):
        yield from (found[found.lastindex or 0] for found in pattern.finditer(text))
        text = pattern.sub("\n", text)
    for pattern in (marks.DATE, marks.NUMBER, marks.NUMBER_WORD, marks.HAN_NUMBER, marks.NAME):
        yield from (found[0].strip() for found in pattern.finditer(text))
    options = marks.find_options(text)
    if options:
        yield options[options.lastgroup or 0].strip()
    for pattern in (marks.NEGATION, marks.CONSTRAINT):
        yield from (found[0].strip() for found in pattern.finditer(text))


def _holds(text: str, item: str, times: int) -> bool:
    """Whether `item` stands in the text as often, and not as a part of a longer word or number."""
    left = r"(?<![A-Za-z0-9_])" if item[:1].isascii() and item[:1].isalnum() else ""
    right = r"(?![A-Za-z0-9_]|\.\d)" if item[-1:].isascii() and item[-1:].isalnum() else ""
    found = re.findall(left + re.escape(item) + right, text)
    return len(found) >= times
