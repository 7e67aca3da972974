"""Reports on each template: its uses, the reasons why it was not used, scores with and without it, and its cost in
tokens."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.exchange import Arm
from gateway.records.compare import Mean
from gateway.records.scores import DIGITS, Difference, Scores, difference
from gateway.records.spoken_record import SpokenVersion

if TYPE_CHECKING:  # importing this module imports SQLAlchemy; the server imports the report at its start
    from gateway.records.database import Database

SEED = 20_260_101
REASONS = 3
"""How many reasons a table row shows."""
MOST_REASONS = 100
"""How many distinct reasons are counted per template. Further reasons count as `OTHER`."""
OTHER = "other reasons"
NO_TEMPLATE = "(none)"
"""The name of the row for requests without a template."""

_NUMBER = re.compile(r"(?<![\w@.-])\d+(?:\.\d+)?(?![\w-])")  # versions and model names keep their digits


class _DecisionNote(Struct):
    stage: str = ""
    decision: str = ""
    reason: str = ""
    data: dict[str, Any] = {}


class DecidedRecord(Struct):
    """The fields of a record that the report reads. Skipping the other fields saves most of the decoding time."""

    rewrite: SpokenVersion = msgspec.field(default_factory=SpokenVersion)
    changed: bool = False
    notes: tuple[_DecisionNote, ...] = ()


read_decided = msgspec.msgpack.Decoder(DecidedRecord).decode


class TemplateUse(Struct):
    """The requests for which one template was chosen, counted by outcome."""

    template: str
    decided: int = 0
    rewritten: int = 0
    held: int = 0
    shadow: int = 0
    kept: int = 0
    reasons: Counter[str] = msgspec.field(default_factory=Counter)
    """How often each reason was given for an unchanged prompt or for a decision in shadow mode. Numbers in reasons
    become `N`."""
    feedback: Counter[float] = msgspec.field(default_factory=Counter)
    """How many rewritten requests got each score."""
    held_feedback: Counter[float] = msgspec.field(default_factory=Counter)
    """How many controls got each score. A control is a request that could be rewritten but was held back."""
    tokens_added: Mean = msgspec.field(default_factory=Mean)
    """The mean number of prompt tokens that a rewrite added, by estimate."""
    prompt_tokens: Mean = msgspec.field(default_factory=Mean)
    """The mean number of prompt tokens in rewritten requests, as counted by backends."""

    @property
    def gain(self) -> Difference | None:
        """The mean score of rewritten requests minus that of the controls. None if either group has no scores."""
        rewritten, held = Scores(self.feedback), Scores(self.held_feedback)
        return difference(rewritten, held, Random(SEED)) if rewritten.n and held.n else None

    @property
    def top_reasons(self) -> list[tuple[str, int]]:
        return self.reasons.most_common(REASONS)


def report(database: Database, *, since_s: float = 0.0) -> list[TemplateUse]:
    """Return the uses of each template. The most used template is first; the requests without a template are last.

    The function blocks. Its memory use does not grow with the number of exchanges.
    """
    uses: dict[str, TemplateUse] = {}
    for row in database.decided(since_s):
        record = read_decided(row.record)
        note = next((note for note in record.notes if note.stage == "rewrite"), None)
        template = record.rewrite.template or (str(note.data.get("template", "")) if note else "")
        name = template or NO_TEMPLATE
        use = uses.get(name)
        if use is None:
            use = uses[name] = TemplateUse(name)
        _add(use, record, note, row.score, row.prompt_tokens)
    return sorted(uses.values(), key=lambda use: (use.template == NO_TEMPLATE, -use.decided, use.template))


def _add(
    use: TemplateUse, record: DecidedRecord, note: _DecisionNote | None, score: float | None, prompt_tokens: int
) -> None:
    use.decided += 1
    arm = record.rewrite.arm
    if record.changed and record.rewrite.template:
        use.rewritten += 1
        use.tokens_added.add(record.rewrite.tokens_with - record.rewrite.tokens_without)
        if prompt_tokens >= 0:
            use.prompt_tokens.add(prompt_tokens)
        if score is not None:
            use.feedback[round(score, DIGITS)] += 1
        return
    if arm is Arm.HELD:
        use.held += 1
        if score is not None:
            use.held_feedback[round(score, DIGITS)] += 1
        return
    if arm is Arm.SHADOW:
        use.shadow += 1
    else:
        use.kept += 1
    reason = _NUMBER.sub("N", note.reason) if note else ""
    if reason:
        use.reasons[reason if reason in use.reasons or len(use.reasons) < MOST_REASONS else OTHER] += 1


def rows_of(uses: list[TemplateUse]) -> list[tuple[str, ...]]:
    """Return table rows: template, requests, rewritten, held, shadow, kept, feedback, controls, gain, tokens."""
    return [
        (
            use.template,
            f"{use.decided:,}",
            _share(use.rewritten, use.decided),
            f"{use.held:,}",
            f"{use.shadow:,}",
            f"{use.kept:,}",
            _mean(use.feedback),
            _mean(use.held_feedback),
            _gain(use.gain),
            f"{use.tokens_added.mean:+.0f}" if use.tokens_added.n else "-",
        )
        for use in uses
    ]


HEADER = (
    "template",
    "requests",
    "rewritten",
    "held",
    "shadow",
    "kept",
    "feedback",
    "controls",
    "gain",
    "tokens",
)


def as_json(uses: list[TemplateUse], standings: Mapping[str, str]) -> bytes:
    """Encode the report. Unknown figures are null. `standings` maps template ids to the result of the job `watch`."""
    return msgspec.json.encode([_shown(use) | {"against_controls": standings.get(use.template)} for use in uses])


def _shown(use: TemplateUse) -> dict[str, object]:
    rewritten, held = Scores(use.feedback), Scores(use.held_feedback)
    return {
        "template": None if use.template == NO_TEMPLATE else use.template,
        "requests": use.decided,
        "rewritten": use.rewritten,
        "held": use.held,
        "shadow": use.shadow,
        "kept": use.kept,
        "reasons": [{"reason": reason, "requests": count} for reason, count in use.top_reasons],
        "feedback": {"n": rewritten.n, "mean": rewritten.mean if rewritten.n else None},
        "controls": {"n": held.n, "mean": held.mean if held.n else None},
        "gain": use.gain,
        "tokens_added": {"n": use.tokens_added.n, "mean": use.tokens_added.mean if use.tokens_added.n else None},
        "prompt_tokens": {"n": use.prompt_tokens.n, "mean": use.prompt_tokens.mean if use.prompt_tokens.n else None},
    }


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if part else "0"


def _mean(counts: Counter[float]) -> str:
    scores = Scores(counts)
    return f"{scores.mean:.2f} of {scores.n:,}" if scores.n else "-"


def _gain(gain: Difference | None) -> str:
    return "-" if gain is None else f"{gain.difference:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
