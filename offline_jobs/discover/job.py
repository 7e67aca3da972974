"""The job `discover`: finds the prompts that applications build in the recorded traffic, and counts their use.

The job reads the records four times: for system messages, for the features of user messages, for messages with a
frequent feature, and for the use of each prompt. Each portion of each pass is a step, so a killed job resumes where it
stopped. A later run mines only requests that match no known prompt.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.store import FoundFile, LastRun, WaitingPrompt, change_found, found_path, put, read_found
from gateway.prompt.found.view import may_show_values
from gateway.records.locations import database_url
from gateway.records.scrub import scrubbed
from gateway.settings.tables import Settings
from offline_jobs.datasets.recorded import PORTION, Portion, RecordWindow, portions
from offline_jobs.discover import passes
from offline_jobs.discover.feature_files import add_counts
from offline_jobs.discover.known import COUNTERS, SystemShape, write_known
from offline_jobs.discover.names import name_of
from offline_jobs.discover.passes import Bucket, KeptSystems, PortionCounts, read_part
from offline_jobs.discover.prompts import merged_buckets, prompts_of, systems_of
from offline_jobs.discover.sample import evidence
from offline_jobs.discover.systems import system_shapes
from offline_jobs.discover.traffic import TrafficPortion
from offline_jobs.discover.use import CountPortion, PortionUse, count_use, total_use, with_use
from offline_jobs.discover.versions import tied
from offline_jobs.engine.alert import alert
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at

MinedSystems = tuple[list[SystemShape], list[WaitingPrompt]]
ROUNDS = 3
MOST_WAITING = 50
FEWEST_SHOWN = 3
"""A text with fewer requests is not shown as a prompt in waiting: it may be one person's."""
BEGINNING = 80
SCRUBBED = 400
"""Secrets are removed from this many characters at the start of a text. Then the text is cut to `BEGINNING` characters.
In this order, the cut leaves no part of a secret."""
MOMENT_S = 0.001


class DiscoverOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the job."""

    since: str = "30d"
    """The start of the window: an age such as 7d, or a date. Requests that an earlier run has read are mined again, but
    not counted again."""
    until: str = ""
    """The end of the window. Default: now."""
    key: str = ""
    """Mine only requests with this key."""
    portion: int = PORTION
    """The number of exchanges per step."""


class DiscoverWindow(Struct, frozen=True):
    """The window, and the prompts known before the job. The first run fixes both, so that a resumed job works on the
    same data."""

    window: RecordWindow
    known: list[FoundPrompt]
    now_s: float


class DiscoverReport(Struct, frozen=True):
    """The result. `hashed` counts records without readable texts. `unknown` counts requests that match no prompt."""

    records: int
    hashed: int
    unknown: int
    new: list[str]
    """The names of the new prompts."""
    versions: list[str]
    """The new versions of known or new prompts, as `name@version`."""
    prompts: int
    waiting: int
    """The number of texts that look fixed but came from too few users or on too few days."""


def run(run: JobRun, options: DiscoverOptions) -> DiscoverReport:
    store = found_path(run.settings.data_folder)
    begun = run.step("window", options, lambda: _window(options, read_found(store)), DiscoverWindow)
    parts = _parts(run, options, begun.window)
    folder = run.folder / "parts"
    folder.mkdir(exist_ok=True)
    write_known(folder / "known-0.bin", begun.known)
    counts = _each(run, "systems", passes.collect_systems, parts, PortionCounts)
    systems, waiting = run.step(
        "system shapes", parts, lambda: _systems(parts), tuple[list[SystemShape], list[WaitingPrompt]]
    )
    write_known(folder / "systems.bin", systems)
    _each(run, "features", passes.count_features, parts, int)
    run.step("counters", parts, lambda: _add_counters(parts, folder / "counters.npy"), int)
    new = _mined_in_rounds(run, parts, begun.known, systems)
    write_known(folder / "prompts.bin", [*begun.known, *new])
    counted_s = {prompt.id: prompt.counted_s for prompt in begun.known}
    uses = _each(run, "use", count_use, [CountPortion(part, counted_s) for part in parts], PortionUse)
    prompts = [_counted(prompt, begun, run.settings) for prompt in _named(begun.known, new, uses)]
    shown = [one for one in waiting if may_show_values(run.settings, one.key)]
    report = _report(begun.known, prompts, counts, uses, waiting)
    mined = LastRun(time.time(), report.records, report.hashed)
    change_found(store, lambda content: replace(_stored(content, prompts, shown, begun.window.key), mined=mined))
    shutil.rmtree(folder, ignore_errors=True)
    if report.versions:
        alert(run.settings, run.job.id, {"alarm": "new prompt versions", "versions": report.versions})
    return report


def estimate(_settings: Settings, _options: DiscoverOptions) -> Spent:
    """Return an empty estimate, because no model is called."""
    return Spent()


def _window(options: DiscoverOptions, content: FoundFile) -> DiscoverWindow:
    now = time.time()
    window = RecordWindow(at(options.since, now), at(options.until, now) or now, key=options.key)
    return DiscoverWindow(window, list(content.prompts), now)


def _parts(run: JobRun, options: DiscoverOptions, window: RecordWindow) -> list[TrafficPortion]:
    url = database_url(run.settings)
    cut = run.step("portions", [window, options.portion], lambda: portions(url, window, options.portion), list[Portion])
    prices = dict(run.settings.model_prices)
    return [TrafficPortion(url, window, part, str(run.folder / "parts"), prices) for part in cut]


def _each(run: JobRun, name: str, task: Callable[[Any], Any], inputs: Sequence[Any], type: Any) -> list[Any]:
    """Run a task as one step per portion. Only portions without a stored result go to the executor."""
    waiting = [part for part in inputs if not run.known(name, part)]
    results = run.executor.map(task, waiting)
    done = []
    for part in inputs:
        done.append(run.step(name, part, lambda: next(results), type))
        run.check()
    return done


def _systems(parts: Sequence[TrafficPortion]) -> MinedSystems:
    kept = (one for part in parts for one in read_part(part, "systems", list[KeptSystems]))
    whole = systems_of((one.key, one.endpoint, one.samples) for one in kept)
    systems, waiting = [], []
    for (key, endpoint), texts in sorted(whole.items()):
        samples = passes.most_frequent(texts)
        systems += [SystemShape(key, endpoint, mined.shape) for mined in system_shapes(samples)]
        for sample in samples:
            lacks = evidence([sample]).lacks
            if sample.count >= FEWEST_SHOWN and lacks:
                begins = scrubbed(sample.text[:SCRUBBED])[:BEGINNING]
                waiting.append(WaitingPrompt(key, endpoint, begins, sample.count, lacks))
    return systems, sorted(waiting, key=lambda one: -one.requests)[:MOST_WAITING]


def _add_counters(parts: Sequence[TrafficPortion], file: Path) -> int:
    table = np.zeros(COUNTERS, np.uint32)
    for part in parts:
        add_counts(passes.features_file(part), table)
    draft = file.with_suffix(".tmp.npy")
    np.save(draft, table)
    draft.replace(file)
    return int(np.count_nonzero(table))


def _mined_in_rounds(
    run: JobRun, parts: Sequence[TrafficPortion], known: Sequence[FoundPrompt], systems: Sequence[SystemShape]
) -> list[FoundPrompt]:
    """Mine in rounds. Each round mines the requests that match no prompt found so far. Several rounds are needed
    because a rare prompt may look like a frequent one."""
    new: list[FoundPrompt] = []
    for number in range(ROUNDS):
        write_known(run.folder / "parts" / f"known-{number}.bin", [*known, *new])
        there = {prompt.id for prompt in new}
        mined = _mined_once(run, [replace(part, round=number) for part in parts], systems)
        added = [prompt for prompt in mined if prompt.id not in there]
        if not added:
            break
        new += added
    return new


def _mined_once(run: JobRun, parts: Sequence[TrafficPortion], systems: Sequence[SystemShape]) -> list[FoundPrompt]:
    _each(run, "messages", passes.collect_messages, parts, int)
    mined: list[FoundPrompt] = run.step("mine", parts, lambda: _mined(parts, systems), list[FoundPrompt])
    return mined


def _mined(parts: Sequence[TrafficPortion], systems: Sequence[SystemShape]) -> list[FoundPrompt]:
    buckets = merged_buckets(read_part(part, "messages", list[Bucket]) for part in parts)
    return prompts_of(buckets, systems)


def _named(known: Sequence[FoundPrompt], new: Sequence[FoundPrompt], uses: Sequence[PortionUse]) -> list[FoundPrompt]:
    total = total_use(uses)
    before = [*(with_use([one], total)[0] if one.use.requests else one for one in known)]
    prompts = []
    taken = {prompt.name for prompt in known}
    for prompt in tied(before, with_use(new, total)):
        if prompt.name == prompt.id:
            prompt = replace(prompt, name=name_of(prompt, taken))
            taken.add(prompt.name)
        prompts.append(prompt)
    return prompts


def _counted(prompt: FoundPrompt, begun: DiscoverWindow, settings: Settings) -> FoundPrompt:
    """Set the time up to which the use of a prompt is counted, and remove values that the record policy no longer
    allows."""
    if begun.window.key in ("", prompt.key):
        # a window may end in the future, where nothing is counted yet
        end_s = min(begun.window.until_s, max(begun.now_s, prompt.use.last_s + MOMENT_S))
        prompt = replace(prompt, counted_s=max(prompt.counted_s, end_s))
    if may_show_values(settings, prompt.key):
        return prompt
    versions = [
        replace(version, parts=tuple(replace(part, values=()) for part in version.parts)) for version in prompt.versions
    ]
    return replace(prompt, versions=tuple(versions))


def _stored(
    content: FoundFile, prompts: Sequence[FoundPrompt], waiting: Sequence[WaitingPrompt], key: str
) -> FoundFile:
    """Merge the prompts into the file of found prompts. Decisions that a person made in the meantime are kept.

    If only the records of `key` were read, the waiting texts of other keys are kept too.
    """
    there = {prompt.id: prompt for prompt in content.prompts}
    others = [one for one in content.waiting if key and one.key != key]
    decided = [_decided(prompt, there.get(prompt.id)) for prompt in prompts]
    return replace(put(content, decided), waiting=(*others, *waiting))


def _decided(prompt: FoundPrompt, now: FoundPrompt | None) -> FoundPrompt:
    return (
        prompt
        if now is None
        else replace(prompt, name=now.name, state=now.state, spoken=now.spoken, unlocked=now.unlocked)
    )


def _report(
    known: Sequence[FoundPrompt],
    prompts: Sequence[FoundPrompt],
    counts: Sequence[PortionCounts],
    uses: Sequence[PortionUse],
    waiting: Sequence[WaitingPrompt],
) -> DiscoverReport:
    before = {prompt.id: len(prompt.versions) for prompt in known}
    records = sum(count.records for count in counts)
    return DiscoverReport(
        records,
        records - sum(count.readable for count in counts),
        sum(use.unknown for use in uses),
        [prompt.name for prompt in prompts if prompt.id not in before],
        [f"{one.name}@{one.newest.number}" for one in prompts if len(one.versions) > before.get(one.id, 1)],
        len(prompts),
        len(waiting),
    )


JOB = JobKind(
    "finds the prompts that applications build in recorded traffic, and counts their use",
    DiscoverOptions,
    run,
    estimate,
)
