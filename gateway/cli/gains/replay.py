"""Makes pairs to measure from recorded exchanges that a template rewrote or would have rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from gateway.errors import TemplateError
from gateway.prompt.answers.stated_checks import stated_checks
from gateway.prompt.library.library import Library
from gateway.prompt.measure.pairs import AnswerPair
from gateway.prompt.measure.prepare import marker_of, sampling_of
from gateway.prompt.refine import MeasuredRefiner
from gateway.prompt.templates.fields import Purpose
from gateway.prompt.templates.template import Template
from gateway.records.schema import ExchangeRecord

if TYPE_CHECKING:  # SQLAlchemy is imported when the command runs
    from gateway.records.database import Database

SEED = 1

RecordGroup = tuple[str, int, str]
"""A template's id and version, and the model's name at its backend."""


class ReplayFilter(Struct, frozen=True):
    """Selects the exchanges to replay. An empty field matches all exchanges."""

    intent: str = ""
    model: str = ""
    template: str = ""
    """The id of a template, or `id@version` for one version."""
    since_s: float = 0.0
    each: int = 200
    """The maximum number of exchanges for each template version and model. The exchanges are sampled at random."""


class _RecordedTarget(Struct):
    model: str = ""


class _RecordedIntent(Struct):
    name: str = ""


class _RecordedRewrite(Struct):
    template: str = ""
    version: int = 0


class _Brief(Struct):
    """The part of a record that decides whether an exchange can be replayed."""

    intent: _RecordedIntent = msgspec.field(default_factory=_RecordedIntent)
    rewrite: _RecordedRewrite = msgspec.field(default_factory=_RecordedRewrite)
    route: list[_RecordedTarget] = []
    policy: str = "full"


_brief = msgspec.msgpack.Decoder(_Brief)


def choose(database: Database, which: ReplayFilter, random: Random) -> dict[RecordGroup, list[str]]:
    """Sample exchanges that a template rewrote or would have rewritten, for each template version and model."""
    samples: dict[RecordGroup, list[str]] = {}
    seen: dict[RecordGroup, int] = {}
    for record in database.spoken(since_s=which.since_s):
        brief = _brief.decode(record.record)
        group = (brief.rewrite.template, brief.rewrite.version, brief.route[0].model if brief.route else "")
        if brief.policy != "full" or not all(group) or not _is_wanted(brief.intent.name, group, which):
            continue
        sample = samples.setdefault(group, [])
        seen[group] = seen.get(group, 0) + 1
        if len(sample) < which.each:
            sample.append(record.id)
        elif (place := random.randrange(seen[group])) < which.each:
            sample[place] = record.id
    return samples


def _is_wanted(intent: str, group: RecordGroup, which: ReplayFilter) -> bool:
    template, version, model = group
    named = which.template in ("", template, f"{template}@{version}")
    return bool(intent) and which.intent in ("", intent) and which.model in ("", model) and named


def pairs_of(
    database: Database, chosen: Mapping[RecordGroup, Sequence[str]], library: Library, random: Random, refiner: str = ""
) -> Iterator[AnswerPair]:
    """Return the chosen exchanges as pairs, shuffled, so that a limit on calls affects all groups equally."""
    ids = [id for ids in chosen.values() for id in ids]
    random.shuffle(ids)
    for id in ids:
        record = database.get(id)
        if record is None:
            continue
        answers = [one.answer for one in database.feedback(id) if one.answer]
        pair = _pair(record, library, answers[-1] if answers else "", refiner)
        if pair is not None:
            yield pair


def _pair(record: ExchangeRecord, library: Library, answer: str, refiner: str) -> AnswerPair | None:
    template = _template(library, record)
    rewritten = record.rewrite.withheld or record.prompt
    # with passages in the prompt, the two prompts would differ by more than the rewrite
    if template is None or not rewritten or record.chunks or not all(turn.plain for turn in record.turns):
        return None
    if template.calls and not record.changed:
        return None  # the first calls of the template were not made
    target, query = record.route[0], next((turn.text for turn in reversed(record.turns) if turn.role == "user"), "")
    return AnswerPair(
        record.id,
        (_digest(template, refiner), template.language, target.model),
        target,
        record.turns,
        rewritten,
        sampling_of(template),
        right=answer,
        checks=stated_checks(query),
        template=template.ref,
        intent=record.intent.name,
        marker=marker_of(template),
    )


def _digest(template: Template, refiner: str) -> str:
    """Return the digest that identifies the row in the gain table.

    The digest covers the template's text and, if the template refines prompts, the refiner's model.
    """
    if template.purpose is Purpose.REFINE:
        return MeasuredRefiner.of(template, refiner).text_digest
    return template.text_digest


def _template(library: Library, record: ExchangeRecord) -> Template | None:
    try:
        return library.get(record.rewrite.template, record.rewrite.version)
    except TemplateError:
        return None
