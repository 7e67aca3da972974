"""Proposes changes without a model, by rules that often help.

The rules add examples (as turns, as a list, or the nearest for each request), the labels, a line about the form, a
checklist, decoder limits or another technique. One rule removes the system message. The search finds out which changes
help.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from gateway.prompt.compose import fill_or_keep
from gateway.prompt.kept import KeptAsIs
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.search.candidate import CandidateExamples, Parent, Pieces, examples_in, examples_text, quotable
from offline_jobs.search.score import AnswerMeasure

MOST_SHOTS = 12
MOST_LABELS_SHOWN = 24
NEAREST = 6
LINES = {
    "en": {
        "labels": "Answer with one of these and nothing else: {labels}.",
        "only": "Give only the answer itself: no explanation, no greeting, no repetition of the question.",
        "check": "Before you answer, check: is every part of the request done? Is the form exactly what was asked for?",
        "steps": 'Think step by step, in short sentences. Then write "Answer:" and the answer alone, on a last line.',
    },
    "zh": {
        "labels": "只回答以下之一，不要写别的：{labels}。",
        "only": "只给出答案本身：不要解释，不要寒暄，不要重复问题。",
        "check": "回答之前请检查：每一项要求都做到了吗？形式与要求完全一致吗？",
        "steps": '请一步一步地想，句子要短。最后另起一行写"Answer:"和答案。',
    },
}


class ProposalMaterial(Struct, frozen=True):
    """The input of the rules. `shots` are pairs of a slot value and the right answer, taken from the rows to learn
    from."""

    shots: tuple[tuple[str, str], ...]
    measure: AnswerMeasure
    language: str
    nearest: bool
    """Whether an embedding model is available to find the nearest examples."""
    sampling: tuple[str, ...] = ("max_tokens", "temperature", "stop")
    """The decoder settings that the backend accepts. A proposal with any other setting would only repeat the same
    request."""


Rule = Callable[[Pieces, ProposalMaterial, Random], Pieces | None]


def material_of(
    parent: Parent, rows: Sequence[DatasetRow], measure: AnswerMeasure, sampling: tuple[str, ...], *, nearest: bool
) -> ProposalMaterial:
    shots = tuple(shot for row in rows if row.wanted and (shot := _shot(parent, row)) is not None)
    return ProposalMaterial(shots, measure, str(parent.template.language), nearest, sampling)


def rules() -> Mapping[str, Rule]:
    """Return the rules by name, in the order in which they are tried. Rules that show examples of the task come
    first."""
    return {
        "nearest examples": _nearest,
        "examples as turns": lambda pieces, known, draw: _turns(
            pieces, known, draw, _enough(known, 2 * MOST_SHOTS // 3)
        ),
        "labels": _labels,
        "only the answer": lambda pieces, known, _: _line(pieces, known, "only"),
        "examples in the prompt": _listed,
        "short answers": _short,
        "other examples": lambda pieces, known, draw: _turns(pieces, known, draw, _enough(known, MOST_SHOTS)),
        "no system message": _no_system,
        "checklist": lambda pieces, known, _: _line(pieces, known, "check"),
        "step by step": _steps,
        "fewer examples": lambda pieces, known, draw: _turns(pieces, known, draw, 4),
    }


def proposals(pieces: Pieces, known: ProposalMaterial, draw: Random) -> Iterator[tuple[str, Pieces]]:
    """Apply each rule. If a rule changes something, yield its name and the changed pieces."""
    for name, rule in rules().items():
        changed = rule(pieces, known, draw)
        if changed is not None and changed != pieces:
            yield name, changed


def _turns(pieces: Pieces, known: ProposalMaterial, draw: Random, most: int) -> Pieces | None:
    shots = _balanced(known, draw, most)
    if not shots:
        return None
    return _shorter({**pieces, "examples": examples_text(CandidateExamples("turns", len(shots), shots))}, known)


def _listed(pieces: Pieces, known: ProposalMaterial, draw: Random) -> Pieces | None:
    shots = _balanced(known, draw, _enough(known, MOST_SHOTS))
    if not shots:
        return None
    return _shorter({**pieces, "examples": examples_text(CandidateExamples("list", len(shots), shots))}, known)


def _nearest(pieces: Pieces, known: ProposalMaterial, _draw: Random) -> Pieces | None:
    if not known.nearest or len(known.shots) < 2 * NEAREST or examples_in(pieces).form == "nearest":
        return None
    return _shorter({**pieces, "examples": examples_text(CandidateExamples("nearest", NEAREST, known.shots))}, known)


def _labels(pieces: Pieces, known: ProposalMaterial, _draw: Random) -> Pieces | None:
    if not known.measure.labels:
        return None
    return _shorter(_line(pieces, known, "labels"), known)


def _short(pieces: Pieces, known: ProposalMaterial, _draw: Random) -> Pieces | None:
    changed = _shorter(pieces, known)
    return None if changed == pieces else changed


def _no_system(pieces: Pieces, _known: ProposalMaterial, _draw: Random) -> Pieces | None:
    return {**pieces, "system": ""} if pieces["system"].strip() else None


def _steps(pieces: Pieces, known: ProposalMaterial, _draw: Random) -> Pieces | None:
    changed = _line(pieces, known, "steps")
    settings = {
        "technique": "chain-of-thought",
        "output": _taken({"max_tokens": 300, "temperature": 0}, known),
        "reasoning": {"mode": "split", "marker": "Answer:"},
    }
    return None if changed is None else {**changed, "settings": json.dumps(settings)}


def _line(pieces: Pieces, known: ProposalMaterial, name: str) -> Pieces:
    """Add a line at the end of the user's message, where small models follow it best."""
    line = LINES.get(known.language, LINES["en"])[name].format(labels=", ".join(known.measure.labels))
    return pieces if line in pieces["user"] else {**pieces, "user": f"{pieces['user'].rstrip()}\n\n{line}"}


def _shorter(pieces: Pieces, known: ProposalMaterial) -> Pieces:
    """Limit the length of the answer to that of the longest right answer, with some slack."""
    outputs = [output for _, output in known.shots]
    if not outputs or not known.sampling:
        return pieces
    settings: dict[str, Any] = json.loads(pieces["settings"])
    longest = max(len(output) for output in outputs)
    output: dict[str, Any] = {"max_tokens": 8 + longest // 2, "temperature": 0}
    if not any("\n" in text for text in outputs):
        output["stop"] = ["\n"]
    taken = {**settings, "output": _taken(output, known), "reasoning": {}}
    return {**pieces, "settings": json.dumps(taken, ensure_ascii=False)}


def _taken(output: dict[str, Any], known: ProposalMaterial) -> dict[str, Any]:
    return {name: value for name, value in output.items() if name in known.sampling}


def _enough(known: ProposalMaterial, most: int) -> int:
    """Return how many examples to show.

    The result is usually `most`. If a small closed set has more than `most` labels, the result is the number of labels,
    because a model rarely gives a label that it has not seen.
    """
    labels = len(known.measure.labels)
    return max(most, labels) if labels <= MOST_LABELS_SHOWN else most


def _balanced(known: ProposalMaterial, draw: Random, most: int) -> tuple[tuple[str, str], ...]:
    """Return up to `most` examples in random order, with as many different answers as possible."""
    by_answer: dict[str, list[tuple[str, str]]] = {}
    for shot in draw.sample(known.shots, len(known.shots)):
        by_answer.setdefault(shot[1], []).append(shot)
    chosen: list[tuple[str, str]] = []
    while len(chosen) < most and any(by_answer.values()):
        for shots in by_answer.values():
            if shots and len(chosen) < most:
                chosen.append(shots.pop())
    draw.shuffle(chosen)
    return tuple(chosen)


def _shot(parent: Parent, row: DatasetRow) -> tuple[str, str] | None:
    """Return the slot value and the right answer, or None if the row cannot be an example."""
    try:
        values = fill_or_keep(parent.template, row.query).values
    except KeptAsIs:
        return None
    given = values.get(parent.slot) or row.query
    return (given, row.wanted) if quotable(given) and quotable(row.wanted) else None
