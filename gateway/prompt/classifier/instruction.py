"""Finds the instruction in a prompt: the lines with the request, without the pasted text.

A logistic model scores the words of each line. It is trained on our seed prompts, whose instruction and payload are
known. In a prompt of one line, the model only decides whether the words before a colon are the instruction. If the
model finds no instruction, the rules in `language/payload.py` decide.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from gateway.prompt.language.literals import fences
from gateway.prompt.language.payload import SENTENCE_END
from gateway.prompt.language.vocabulary import folded
from gateway.prompt.language.wording import commands, is_sequel, request_in
from gateway.split import Split

FIRST_LINES, LAST_LINES = 6, 3  # an instruction is at the start or at the end
LINE_CHARS = 300
HARDLY, CLEARLY = 1.0, 1.5  # log-odds, used by `_asks_more`
ASKS, CONTEXT = 1.5, 1.5  # log-odds: a request's one sentence that asks has more, the others at most as much
CORE_SENTENCES, CORE_CHARS = 5, 500
QUESTION_MARKS = ("?", "？")
LEADS = 1.5  # log-odds that are added to a first line if the split's rules also take it for the instruction
_LEADING = frozenset({"colon", "line", "dash", "fence"})
"""The names of the rules for a payload that follows its instruction."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|[^\s\w]")
_PARAGRAPH = re.compile(r"\n\s*\n")
_COLON = re.compile(r":\s|：")
_BLANK, _DIGITS = re.compile(r"\s+"), re.compile(r"\d+")
_HEAD_WORDS, _TAIL_WORDS = 40, 20
_HEAD_ZH, _TAIL_ZH = 50, 30


class InstructionModel:
    """Scores lines in one language by the weights of their words."""

    def __init__(self, weights: Mapping[str, float], *, spaced: bool = True) -> None:
        """`weights` maps each token that `line_tokens` returns to its weight, and the key "" to the bias."""
        self.weights = weights
        self.spaced = spaced

    def score(self, line: str) -> float:
        """Return the log-odds that the line is an instruction."""
        weights = self.weights
        return sum([weights[token] for token in line_tokens(line, spaced=self.spaced) if token in weights], weights[""])

    def instruction(self, text: str, parts: Split) -> str:
        """Return the lines with the request, at the start of the prompt or else at its end. The result is "" if there
        are no such lines, or if the prompt is one line and the rules have already found its instruction.
        """
        if "\n" not in text.strip():
            return "" if parts.payload else self._before_colon(text)
        end = text[-LINE_CHARS * LAST_LINES :].rstrip()
        last = [line for line in _PARAGRAPH.split(end)[-1].split("\n") if line.strip()][-LAST_LINES:]
        lines = [*_lines(text, _end(parts))][:FIRST_LINES]
        leads = LEADS if parts.rule in _LEADING else 0.0
        if lines and last and self._asks_more(last[-1], lines[0], leads):
            lines = []
        return "\n".join(self._asking(lines, leads) or reversed(self._asking(last[::-1])))

    def core(self, request: str) -> str:
        """Return the sentence of a request that asks, if it is the only one and the others only say what it is about:
        `Rent or buy the skis?` for `We go skiing once a year. Rent or buy the skis?` Of a sentence with a polite
        request behind other words, only the request is returned. If there is nothing to leave out, the result is "".
        """
        if len(request) > CORE_CHARS:
            return ""
        ends = [match.end() for match in SENTENCE_END.finditer(request.rstrip())]
        if len(ends) >= CORE_SENTENCES:
            return ""
        sentences = [request[start:end].strip() for start, end in itertools.pairwise([0, *ends, len(request)])]
        sentences = [sentence for sentence in sentences if sentence]
        core = self._only_request(sentences) if len(sentences) > 1 else request
        core = request_in(core) or core
        return "" if core == request else core

    def _only_request(self, sentences: Sequence[str]) -> str:
        """Return the only one of several sentences that asks, or ""."""
        polite = [sentence for sentence in sentences if request_in(sentence)]
        others = [sentence for sentence in sentences if sentence not in polite]
        if any(is_sequel(folded(sentence)) or commands(folded(sentence)) for sentence in others):
            return ""
        if len(polite) == 1 and not any(sentence.endswith(QUESTION_MARKS) for sentence in others):
            return "" if is_sequel(folded(polite[0])) else polite[0]
        *others, core = sorted(sentences, key=self.score)
        best, second = self.score(core), self.score(others[-1])
        asks_alone = best >= ASKS and second <= min(CONTEXT, best - CLEARLY)
        is_first = not any(is_sequel(folded(s)) for s in sentences) and not any(commands(folded(s)) for s in others)
        return core if asks_alone and is_first else ""

    def _asks_more(self, last: str, first: str, leads: float) -> bool:
        """Return whether the last line is clearly an instruction and the first line is not.

        A first line that is an instruction has priority, since a pasted text may end with a command.
        """
        score = self.score(first[:LINE_CHARS]) + leads
        return score < HARDLY and self.score(last[:LINE_CHARS]) > score + CLEARLY

    def has_text_after_colon(self, text: str) -> bool:
        """Return whether an instruction ends at the first colon and a text follows it."""
        colon = _COLON.search(text, 0, LINE_CHARS)
        return colon is not None and len(text) > colon.end() and self.score(text[: colon.start()]) > 0.0

    def _before_colon(self, text: str) -> str:
        colon = _COLON.search(text, 0, LINE_CHARS)
        if colon is None or self.score(text[: colon.start()]) <= 0.0 or self.score(text[colon.end() :]) > 0.0:
            return ""
        return text[: colon.start()]

    def _asking(self, lines: Sequence[str], leads: float = 0.0) -> list[str]:
        """Return the lines before the first line that is not an instruction. `leads` is added to the log-odds of the
        first line.
        """
        asking: list[str] = []
        for line in lines:
            if self.score(line[:LINE_CHARS]) + (0.0 if asking else leads) <= 0.0:
                break
            asking.append(line)
        return asking


def line_tokens(line: str, *, spaced: bool) -> set[str]:
    """Return the tokens of a line: words, pairs of words, and marks for the line's first words, length and last
    character.

    In an unspaced language, characters and pairs of characters take the place of words.
    """
    line = line.strip().lower()
    if spaced:
        words = ["#" if word.isdigit() else word for word in _WORD.findall(line)]
        if len(words) > _HEAD_WORDS + _TAIL_WORDS:
            words = words[:_HEAD_WORDS] + words[-_TAIL_WORDS:]
        size = len(words)
        tokens = {*words, *map(" ".join, itertools.pairwise(words)), *_begins(words, " ")}
    else:
        dense = _DIGITS.sub("#", _BLANK.sub("", line))
        size = len(dense) // 2
        if len(dense) > _HEAD_ZH + _TAIL_ZH:
            dense = dense[:_HEAD_ZH] + dense[-_TAIL_ZH:]
        tokens = {*dense, *map("".join, itertools.pairwise(dense)), *_begins([*dense], "")}
    return tokens | {f"<length {min(6, (size + 1).bit_length())}>", f"<ends {line[-1:]}>"}


def _begins(words: Sequence[str], joint: str) -> Iterator[str]:
    for count in (1, 2):
        if len(words) >= count:
            yield f"^{joint.join(words[:count])}"


def _lines(text: str, end: int) -> Iterator[str]:
    """Yield the lines before the index `end`, without code blocks and blank lines."""
    head = text[:end]
    for block in reversed(fences(head)) if "```" in head or "~~~" in head else ():
        head = f"{head[: block.start]}\n{head[block.end :]}"
    for line in head.split("\n"):
        if line.strip() and not line.lstrip().startswith(("```", "~~~")):
            yield line


def _end(parts: Split) -> int:
    """Return the end of the part of the prompt in which an instruction may come first. This is the start of a payload
    that follows its instruction, or else the end of the prompt.
    """
    span = parts.payload
    return span.start if span is not None and span.start > 0 and parts.rule in _LEADING else len(parts.query)
