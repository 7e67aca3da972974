"""Replays recorded exchanges, raw and rewritten, and scores both answers for the gain table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from gateway.ask import Ask, Endpoint, Mode, Turn
from gateway.errors import BackendFailed, RequestError, TemplateError
from gateway.exchange import Exchange, Sampling, Target
from gateway.ports import Completer
from gateway.prompt.answers.judge import agreed, matches, passed, question, verdict
from gateway.prompt.library.library import Library
from gateway.prompt.policy.gains import Gain
from gateway.prompt.templates.fields import Check
from gateway.prompt.templates.template import Template
from gateway.records.schema import ExchangeRecord
from gateway.records.scores import paired

if TYPE_CHECKING:  # SQLAlchemy is loaded when the command runs
    from gateway.records.database import Database

ANSWER_TOKENS = 256
"""The most tokens of an answer, if the template sets no limit."""
JUDGE = Sampling(max_tokens=8, temperature=0.0)
GIVE_UP_AFTER = 5
SEED = 1

Group = tuple[str, str]
"""An intent, and the name of a model at its backend."""


class ReplayCase(Struct, frozen=True):
    """One exchange to replay. `right` is the right answer, if feedback has one."""

    id: str
    group: Group
    target: Target
    raw: tuple[Turn, ...]
    rewritten: tuple[Turn, ...]
    sampling: Sampling
    checks: tuple[Check, ...] = ()
    right: str = ""

    def judged_by(self, judge: str) -> str:
        """The source of the scores: feedback, else the template's checks, else the judge; "" without all of them."""
        if self.right:
            return "feedback"
        if any(not check.judge for check in self.checks):
            return "checks"
        return "judge" if judge else ""


class ScoredCase(Struct, frozen=True):
    """The difference in score, rewritten minus raw, from -1 to 1, and the source of the scores."""

    case: ReplayCase
    difference: float
    by: str


class OutOfCalls(Exception):
    """The limit on model calls is reached."""


class Replay:
    """Gets both answers, greedily and with the same limits, and scores them. `calls` limits the model calls."""

    def __init__(self, completer: Completer, calls: int, judge: str = "") -> None:
        self._completer = completer
        self._judge = judge
        self.left = calls

    async def score(self, case: ReplayCase) -> ScoredCase:
        """Score one case. Raises `OutOfCalls` if the calls do not suffice for both answers, and `RequestError`."""
        by = case.judged_by(self._judge)
        if self.left < (4 if by == "judge" else 2):
            raise OutOfCalls
        raw = await self._ask(case, case.raw, "raw", case.sampling)
        rewritten = await self._ask(case, case.rewritten, "rewritten", case.sampling)
        return ScoredCase(case, await self._difference(case, by, rewritten, raw), by)

    async def _difference(self, case: ReplayCase, by: str, rewritten: str, raw: str) -> float:
        if rewritten == raw:
            return 0.0
        if by == "feedback":
            return matches(rewritten, case.right) - matches(raw, case.right)
        if by == "checks":
            return (passed(rewritten, case.checks) or 0.0) - (passed(raw, case.checks) or 0.0)
        request = "\n\n".join(turn.text for turn in case.raw)
        forward = await self._ask(case, question(request, rewritten, raw), "judge", JUDGE, self._judge)
        swapped = await self._ask(case, question(request, raw, rewritten), "judge", JUDGE, self._judge)
        return agreed(verdict(forward), verdict(swapped))

    async def _ask(
        self, case: ReplayCase, turns: Sequence[Turn], purpose: str, sampling: Sampling, model: str = ""
    ) -> str:
        self.left -= 1
        ask = Ask(Endpoint.CHAT, case.target.model, b"", tuple(turns))
        exchange = Exchange(f"gain-{case.id}", ask, mode=Mode.OFF, route=(case.target,))
        done = await self._completer.complete(exchange, turns, purpose=purpose, model=model, sampling=sampling)
        return done.answer.text


async def scores_of(
    cases: Sequence[ReplayCase], replay: Replay, tick: Callable[[], None], failed: list[str]
) -> Sequence[ScoredCase]:
    """Score the cases that the calls allow. A failed pair is left out. An interruption returns the scores so far.

    Raises `BackendFailed` if pairs fail and none is scored.
    """
    scored: list[ScoredCase] = []
    in_a_row = 0
    for case in cases:
        try:
            scored.append(await replay.score(case))
            in_a_row = 0
        except OutOfCalls:
            break
        except RequestError as error:
            failed.append(error.message)
            in_a_row += 1
            if in_a_row >= GIVE_UP_AFTER:
                break
        except asyncio.CancelledError:
            break
        tick()
    if failed and not scored:
        raise BackendFailed(failed[-1])
    return scored


def gains_of(scored: Iterable[ScoredCase], now_s: float) -> list[Gain]:
    """One gain for each intent and model."""
    groups: dict[Group, list[ScoredCase]] = {}
    for case in scored:
        groups.setdefault(case.case.group, []).append(case)
    return [_gain(group, of_group, now_s) for group, of_group in sorted(groups.items())]


def _gain(group: Group, scored: Sequence[ScoredCase], now_s: float) -> Gain:
    # the same data give the same result each time
    seen = paired([case.difference for case in scored], Random(SEED))
    by = ", ".join(sorted({case.by for case in scored}))
    return Gain(*group, seen.pairs, seen.mean, seen.low, seen.high, seen.p, by, now_s)


class ReplayFilter(Struct, frozen=True):
    """The exchanges to replay. An empty field matches any."""

    intent: str = ""
    model: str = ""
    since_s: float = 0.0
    each: int = 200
    """The most exchanges of each intent and model, chosen at random."""


class _RecordedTarget(Struct):
    model: str = ""


class _RecordedIntent(Struct):
    name: str = ""


class _Brief(Struct):
    """The part of a record that shows whether the exchange can be replayed."""

    intent: _RecordedIntent = msgspec.field(default_factory=_RecordedIntent)
    route: list[_RecordedTarget] = []
    policy: str = "full"


_brief = msgspec.msgpack.Decoder(_Brief)


def choose(database: Database, which: ReplayFilter, random: Random) -> dict[Group, list[str]]:
    """A random sample, for each intent and model, of the exchanges that a template rewrote or would have rewritten."""
    samples: dict[Group, list[str]] = {}
    seen: dict[Group, int] = {}
    for record in database.spoken(since_s=which.since_s):
        brief = _brief.decode(record.record)
        group = (brief.intent.name, brief.route[0].model if brief.route else "")
        if brief.policy != "full" or not all(group) or not _matches_filter(group, which):
            continue
        sample = samples.setdefault(group, [])
        seen[group] = seen.get(group, 0) + 1
        if len(sample) < which.each:
            sample.append(record.id)
        elif (place := random.randrange(seen[group])) < which.each:
            sample[place] = record.id
    return samples


def _matches_filter(group: Group, which: ReplayFilter) -> bool:
    intent, model = group
    return which.intent in ("", intent) and which.model in ("", model)


def cases_of(
    database: Database, chosen: Mapping[Group, Sequence[str]], library: Library, random: Random
) -> Iterator[ReplayCase]:
    """The chosen exchanges as cases. They are shuffled, so that a limit on calls affects all groups alike."""
    ids = [(id, group) for group, ids in chosen.items() for id in ids]
    random.shuffle(ids)
    for id, group in ids:
        record = database.get(id)
        if record is None:
            continue
        answers = [opinion.answer for opinion in database.feedback(id) if opinion.answer]
        case = _case(record, group, library, answers[-1] if answers else "")
        if case is not None:
            yield case


def _case(record: ExchangeRecord, group: Group, library: Library, answer: str) -> ReplayCase | None:
    template = _template(library, record)
    rewritten = record.rewrite.withheld or record.prompt
    # with passages in the prompt the two prompts would differ in more than the rewrite
    if template is None or not rewritten or record.chunks or not all(turn.plain for turn in record.asked):
        return None
    if template.calls and not record.changed:
        return None  # its first calls were not made
    output = template.output
    sampling = Sampling(output.max_tokens or ANSWER_TOKENS, 0.0, output.stop)
    target = record.route[0]
    return ReplayCase(record.id, group, target, record.asked, rewritten, sampling, template.checks, answer)


def _template(library: Library, record: ExchangeRecord) -> Template | None:
    try:
        return library.get(record.rewrite.template, record.rewrite.version)
    except TemplateError:
        return None
