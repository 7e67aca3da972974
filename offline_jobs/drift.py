"""The job `drift`: compares recent traffic with earlier traffic, reports changes, and sends alerts.

If the option `harvest` is set, an alarm also starts a harvest.
"""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from gateway.disk.atomic_file import write_whole
from gateway.records.locations import database_url
from gateway.records.scrub import scrubbed
from gateway.settings.prices import ModelPrice, TokenUse, cost_of
from gateway.settings.tables import Settings
from offline_jobs import plots
from offline_jobs.datasets.groups import PromptGroup, central, names
from offline_jobs.datasets.near_duplicates import signature
from offline_jobs.datasets.recorded import Portion, portions, read
from offline_jobs.datasets.recorded import RecordWindow as Span
from offline_jobs.engine.alert import alert, measure
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at
from offline_jobs.errors import JobFailed
from offline_jobs.statistics.compare_windows import FEWEST, Change, ComparedWindow, alarmed, compared, counted, placed

Names = tuple[list[str], list[str]]
CHANGED, NO_CHANGE, TOO_FEW = "changed", "no change", "too few to tell"
EMBEDDED = 1500
"""The largest number of prompts per window to embed."""
PAGE = """<!doctype html><meta charset="utf-8"><title>Drift</title>
<style>body{{font:15px system-ui;max-width:60em;margin:2em auto;padding:0 1em}}text{{font:11px system-ui}}
td,th{{text-align:left;padding:.3em .8em;border-bottom:1px solid #ddd}}.alarm{{color:#b00020;font-weight:600}}
i.before,i.now{{display:inline-block;width:1em;height:1em}}i.before{{background:#9aa5b1}}i.now{{background:#d1495b}}</style>
<h1>{title}</h1><p>{about}</p><p><i class="before"></i> reference <i class="now"></i> now</p>
<table><tr><th>what<th>reference<th>now<th>size<th>p<th>test<th>concerns</tr>{rows}</table>{plots}{groups}"""


class DriftOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a comparison. The reference window ends where the recent window begins."""

    now: str = "7d"
    """The length of the recent window, which ends at `until`."""
    reference: str = "35d"
    """How long before `until` the reference window starts."""
    until: str = ""
    """The end of the recent window. Default: now."""
    model: str = ""
    """Compare only exchanges with this model."""
    harvest: bool = False
    """Whether an alarm starts a harvest of the recent window."""


class DriftReport(Struct, frozen=True):
    """The result of the comparison. `before` and `now` are the numbers of exchanges in the windows. `webhook` is the
    webhook's error, or ""."""

    alarm: bool
    verdict: str
    """`changed`, `no change`, or `too few to tell`."""
    before: int
    now: int
    changes: list[Change]
    groups: list[PromptGroup]
    page: str
    harvest: str = ""
    webhook: str = ""


class Spans(Struct, frozen=True):
    """The two windows. The first run sets both, so that a resumed job compares the same windows."""

    before: Span
    now: Span


class DriftPortion(Struct, frozen=True):
    """A portion to read, and the prices for computing costs."""

    url: str
    span: Span
    portion: Portion
    prices: dict[str, ModelPrice]


def run(run: JobRun, options: DriftOptions) -> DriftReport:
    spans = run.step("spans", options, lambda: _spans(options), Spans)
    before = run.step("window", spans.before, lambda: _window(run, spans.before), ComparedWindow)
    now = run.step("window", spans.now, lambda: _window(run, spans.now), ComparedWindow)
    if not before.intents or not now.intents:
        raise JobFailed(
            f"nothing to compare: {len(before.intents)} exchanges in the reference window, "
            f"{len(now.intents)} in the recent one"
        )
    changes = compared(before, now)
    named, groups = _prompts(run, before, now, changes)
    changes = alarmed(changes)
    alarm = any(change.alarm for change in changes)
    verdict = _verdict(changes)
    page = run.folder / "drift.html"
    write_whole(page, _page(run, before, now, named, changes, groups))
    failure = _send_alert(run, changes, groups, page) if alarm else ""
    measure(
        run.settings.data_folder,
        "foreword_drift",
        "1 if the traffic has changed",
        {change.name: change.alarm for change in changes},
    )
    harvest = _harvest(run, options, spans) if alarm and options.harvest else ""
    counts = (len(before.intents), len(now.intents))
    return DriftReport(alarm, verdict, *counts, changes, groups if alarm else [], str(page), harvest, failure)


def _verdict(changes: Sequence[Change]) -> str:
    """Return the verdict in words. Changes are judged only if both windows have at least `FEWEST` exchanges."""
    if not changes:
        return TOO_FEW
    return CHANGED if any(change.alarm for change in changes) else NO_CHANGE


def estimate(_settings: Settings, _options: DriftOptions) -> Spent:
    return Spent()


def look(part: DriftPortion) -> ComparedWindow:
    """Read the values to compare from the exchanges of one portion. Runs on an executor."""
    window = ComparedWindow()
    for seen in read(part.url, part.span, part.portion):
        record = seen.record
        window.intents.append(record.intent.name)
        window.templates.append(record.rewrite.template)
        window.milliseconds.append(record.total_us / 1000)
        used = max(0, record.answer.prompt_tokens), max(0, record.answer.completion_tokens)
        window.prompt_tokens.append(float(used[0]))
        window.answer_tokens.append(float(used[1]))
        use = TokenUse(*used, record.answer.cached_tokens, record.answer.reasoning_tokens)
        window.cost.append(cost_of(part.prices, record.model, use, record.time_s))
        scores = [opinion.score for opinion in seen.feedback if opinion.score is not None]
        if scores:
            window.scores.append(sum(scores) / len(scores))
        query = next((turn.text for turn in reversed(record.turns) if turn.role == "user" and turn.plain), "")
        if query and record.policy == "full":
            window.prompts.append(scrubbed(query))
    return window


def _spans(options: DriftOptions) -> Spans:
    clock = time.time()
    until = at(options.until, clock) or clock
    middle, first = at(options.now, until), at(options.reference, until)
    return Spans(Span(first, middle, model=options.model), Span(middle, until, model=options.model))


def _window(run: JobRun, span: Span) -> ComparedWindow:
    url = database_url(run.settings)
    prices = dict(run.settings.model_prices)
    parts = [DriftPortion(url, span, portion, prices) for portion in portions(url, span)]
    whole = ComparedWindow()
    for part in run.executor.map(look, parts):
        run.check()
        for name in ComparedWindow.__struct_fields__:
            getattr(whole, name).extend(getattr(part, name))
        whole.prompts = _some(whole.prompts)
    return whole


def _some(prompts: list[str]) -> list[str]:
    """Return a sample of the prompts. The sample does not depend on the order of the prompts."""
    if len(prompts) <= EMBEDDED:
        return prompts
    return sorted(prompts, key=lambda text: int(signature(text)[0]))[:EMBEDDED]


def _prompts(
    run: JobRun, before: ComparedWindow, now: ComparedWindow, changes: list[Change]
) -> tuple[Names, list[PromptGroup]]:
    """Cluster the prompts of both windows. Returns the cluster name of each prompt, and the clusters whose share has
    grown.

    Without an embedding model or with too few prompts, all results are empty.
    """
    if run.settings.embedder is None or min(len(before.prompts), len(now.prompts)) < FEWEST:
        return ([], []), []
    embedder = open_embedder(run.settings)
    vectors = embedder.embed(before.prompts), embedder.embed(now.prompts)
    labels = placed(*vectors)
    texts, of = [*before.prompts, *now.prompts], np.concatenate(labels)
    rows = [np.flatnonzero(of == number) for number in range(int(of.max()) + 1)]
    called = names([[texts[at] for at in members.tolist()] for members in rows])
    named = [called[at] for at in labels[0].tolist()], [called[at] for at in labels[1].tolist()]
    change = counted("prompts", *named)
    if change is None:
        return named, []
    changes.append(change)
    shares = [Counter(names) for names in named]
    grown = [name for name in change.concerns if shares[1][name] / len(named[1]) > shares[0][name] / len(named[0])]
    return named, [_group(name, named[1], now.prompts, vectors[1]) for name in grown]


def _group(name: str, named: Sequence[str], texts: Sequence[str], vectors: Any) -> PromptGroup:
    return central(name, texts, vectors, np.flatnonzero(np.array(named) == name))


def _send_alert(run: JobRun, changes: list[Change], groups: list[PromptGroup], page: Path) -> str:
    alarms = [msgspec.to_builtins(change) for change in changes if change.alarm]
    what = {"alarm": "drift", "changes": alarms, "groups": [group.name for group in groups], "page": str(page)}
    return alert(run.settings, run.job.id, what)


def _harvest(run: JobRun, options: DriftOptions, spans: Spans) -> str:
    from offline_jobs.engine.work import start

    words = {
        "name": "drift",
        "since": _date(spans.now.since_s),
        "until": _date(spans.now.until_s),
        "model": options.model,
    }
    return start(run.settings, run.ledger, "harvest", words).id


def _date(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


def _page(
    run: JobRun,
    before: ComparedWindow,
    now: ComparedWindow,
    named: Names,
    changes: list[Change],
    groups: list[PromptGroup],
) -> str:
    rows = "".join(_line(change) for change in changes)
    drawn = {
        "intents": plots.shares(_counts(before.intents), _counts(now.intents)),
        "templates": plots.shares(_counts(before.templates), _counts(now.templates)),
        "milliseconds": plots.histogram(before.milliseconds, now.milliseconds),
        "prompt tokens": plots.histogram(before.prompt_tokens, now.prompt_tokens),
        "answer tokens": plots.histogram(before.answer_tokens, now.answer_tokens),
        "cost": plots.histogram(before.cost, now.cost),
        "scores": plots.histogram(before.scores, now.scores),
        "prompts": plots.shares(_counts(named[0]), _counts(named[1])),
    }
    shown = "".join(f"<h2>{change.name}</h2>{drawn[change.name]}" for change in changes)
    grown = "".join(
        f"<li><b>{escape(group.name)}</b> ({group.size}): {escape('; '.join(group.examples[:4]))}</li>"
        for group in groups
    )
    verdict = _verdict(changes)
    about = f"{len(before.intents):,} exchanges in the reference, {len(now.intents):,} now. {run.job.id}"
    if verdict == TOO_FEW:
        about += f". A comparison needs {FEWEST} in each: choose longer windows."
    return PAGE.format(
        title={CHANGED: "Traffic has changed", NO_CHANGE: "No change", TOO_FEW: "Too few exchanges to tell"}[verdict],
        about=about,
        rows=rows,
        plots=shown,
        groups=f"<h2>Prompts that became more frequent</h2><ul>{grown}</ul>" if groups and verdict == CHANGED else "",
    )


def _line(change: Change) -> str:
    sizes = (f"{change.size:.3f}", f"{change.p:.2g}")
    cells = (change.name, change.before, change.now, *sizes, change.test, ", ".join(change.concerns))
    mark = ' class="alarm"' if change.alarm else ""
    return f"<tr{mark}>" + "".join(f"<td>{escape(cell)}" for cell in cells) + "</tr>"


def _counts(names: list[str]) -> dict[str, int]:
    return Counter(names)


JOB = JobKind(
    "compares recent traffic with earlier: prompts, intents, scores, latency, cost", DriftOptions, run, estimate
)
