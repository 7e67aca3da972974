"""Reads the checks that a prompt itself states, such as `in at most 20 words`, `only JSON` and `回答“是”或“否”`.

A limit is read only if its wording is unambiguous and no model is needed to check it. The limits are the client's own
words. They are therefore a fair test both for answers to the raw prompt and for answers to the rewritten prompt. A
template's own checks would favour the template.
"""

import json
import re
from collections.abc import Callable

from msgspec import Struct

from gateway.prompt.answers.stated_limits import OUTER, limits_of
from gateway.prompt.language.certain_payload import certain
from gateway.prompt.language.detect import language_of
from gateway.prompt.language.payload import split

LONGEST_CHARS = 4000
"""Only this many characters at the start of an instruction are searched."""
SHORT_QUOTE_CHARS = 60
_LIST_LINE = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)、])\s*\S", re.M)
_NUMBERED_LINE = re.compile(r"^\s*\d{1,2}[.)、]\s*\S", re.M)
_SENTENCE = re.compile(r"[.!?]+(?=\s|$|[\"”])|[。!?！？]+")
_HAN_CHARACTER = re.compile(r"[\u4e00-\u9fff]")
_NUMBER = re.compile(r"[-+]?[$€£¥]?\d[\d,]*(?:\.\d+)?%?")


class StatedCheck(Struct, frozen=True):
    """One limit from a prompt. `most` is -1 if there is no upper limit. `options` lists the only allowed answers."""

    kind: str
    least: int = 0
    most: int = -1
    text: str = ""
    options: tuple[str, ...] = ()

    def passes(self, answer: str) -> bool:
        return CHECKERS[self.kind](self, answer)


def stated_checks(prompt: str) -> tuple[StatedCheck, ...]:
    """Return the checks that the prompt's instruction states. The payload is not searched."""
    checks = [StatedCheck(*limit) for limit in dict.fromkeys(limits_of(_instruction(prompt)[:LONGEST_CHARS]))]
    # if the prompt lists the allowed answers, no other limit matters
    closed = [check for check in checks if check.kind == "options"]
    return tuple(closed or checks)


def _instruction(prompt: str) -> str:
    """Return the prompt without its payload, if the payload is certain or begins on its own line.

    An uncertain payload is kept, since it may be an instruction, like the second sentence of `Answer no. Be brief.`
    """
    parts = split(prompt)
    if parts.payload is not None and prompt[: parts.payload.start].rstrip(" \t\"“「'").endswith("\n"):
        return parts.instruction_text
    if parts.payload is not None and parts.payload.end - parts.payload.start <= SHORT_QUOTE_CHARS:
        return prompt  # a short quotation belongs to the limit, as in `end with "Yours, Ben"`
    return certain(parts).instruction_text


def share_passed(answer: str, checks: tuple[StatedCheck, ...]) -> float:
    """Return the share of the checks that the answer passes. An empty answer passes none."""
    if not answer.strip() or not checks:
        return 0.0
    return sum(check.passes(answer) for check in checks) / len(checks)


def _within(check: StatedCheck, number: int) -> bool:
    return number >= check.least and (check.most < 0 or number <= check.most)


def _words(check: StatedCheck, answer: str) -> bool:
    return _within(check, len(answer.split()))


def _characters(check: StatedCheck, answer: str) -> bool:
    return _within(check, len(_HAN_CHARACTER.findall(answer)) + len(re.findall(r"[A-Za-z0-9]+", answer)))


def _sentences(check: StatedCheck, answer: str) -> bool:
    text = answer.strip()
    ended = len(_SENTENCE.findall(text))
    return _within(check, ended if _SENTENCE.search(text[-2:]) else ended + 1)


def _is_json(_check: StatedCheck, answer: str) -> bool:
    fenced = re.fullmatch(r"\s*```(?:json)?\n(.*?)\n?```\s*", answer, re.S)
    try:
        return isinstance(json.loads(fenced[1] if fenced else answer), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_option(check: StatedCheck, answer: str) -> bool:
    return answer.strip(OUTER).casefold() in [option.casefold() for option in check.options]


def _starts(check: StatedCheck, answer: str) -> bool:
    return answer.lstrip(OUTER).casefold().startswith(check.text.strip(OUTER).casefold())


def _ends(check: StatedCheck, answer: str) -> bool:
    return answer.rstrip(OUTER).casefold().endswith(check.text.strip(OUTER).casefold())


CHECKERS: dict[str, Callable[[StatedCheck, str], bool]] = {
    "words": _words,
    "characters": _characters,
    "sentences": _sentences,
    "items": lambda check, answer: _within(check, len(_LIST_LINE.findall(answer))),
    "numbered": lambda check, answer: _within(check, len(_NUMBERED_LINE.findall(answer))),
    "json": _is_json,
    "number": lambda _, answer: bool(_NUMBER.fullmatch(answer.strip(OUTER))),
    "options": _is_option,
    "starts": _starts,
    "ends": _ends,
    "contains": lambda check, answer: check.text.casefold() in answer.casefold(),
    "lacks": lambda check, answer: check.text.casefold() not in answer.casefold(),
    "lower": lambda _, answer: answer == answer.lower(),
    "upper": lambda _, answer: answer == answer.upper(),
    "no comma": lambda _, answer: not any(comma in answer for comma in ",，、"),
    "one line": lambda _, answer: "\n" not in answer.strip(),
    "language": lambda check, answer: language_of(answer) in ("", check.text),
}
