"""The end of `optimise prompt=NAME`: the verdict on the sealed rows, the report, the lineage and the new version."""

import json
import time
from collections.abc import Sequence
from random import Random

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.disk.atomic_file import write_whole
from gateway.prompt.found.found_prompt import FoundPrompt, promoted
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put
from gateway.prompt.found.templates import add_template, exported
from gateway.records.scores import WORTHWHILE, Paired, paired
from gateway.settings.tables import Settings
from offline_jobs.datasets.splits import Splits
from offline_jobs.engine.run import JobRun
from offline_jobs.found.bill import RequestBill
from offline_jobs.found.candidates import FoundCandidate, with_all_rows
from offline_jobs.found.judge import Judgement
from offline_jobs.found.search import TriedVersion
from offline_jobs.publish.decisions import LoggedDecision, log_decision
from offline_jobs.publish.winner import LINEAGE
from offline_jobs.search.outcome import commonest_share
from offline_jobs.search.template_search import OptimiseOptions

WINNER = "winner.md"
CHEAPER = 0.9
"""A prompt with at most this share of the tokens is noticed in the bill."""


class FoundOptimiseReport(Struct, frozen=True):
    """The result. `won` is the new version, or "" if no candidate was better. `broken` counts the sealed answers that
    break the contract, of the present version and of the best candidate.
    """

    won: str
    verdict: str
    tried: int
    sealed: Paired | None = None
    start: float = 0.0
    best: float = 0.0
    commonest: float = 0.0
    broken: tuple[int, int] = (0, 0)
    bills: tuple[RequestBill, RequestBill] = (RequestBill(), RequestBill())
    file: str = ""


def settled(
    run: JobRun,
    options: OptimiseOptions,
    prompt: FoundPrompt,
    splits: Splits,
    tried: Sequence[TriedVersion],
    best: FoundCandidate,
    judged: tuple[Judgement, Judgement],
) -> FoundOptimiseReport:
    seed, winner = judged
    pairs = zip(seed.scores, winner.scores, strict=True)
    test = paired([new.correct - old.correct for old, new in pairs], Random(options.seed))
    broken = sum(seed.broken), sum(winner.broken)
    commonest = commonest_share(splits.sealed)
    verdict = (
        f"{best.by}: right {seed.right:.3f} -> {winner.right:.3f} on {test.pairs} sealed rows, difference "
        f"{test.mean:.3f} [{test.low:.3f}, {test.high:.3f}], p = {test.p:.4f}; "
        f"contract broken {broken[0]} -> {broken[1]}; always the commonest answer would be right in {commonest:.3f}"
    )
    is_cheaper = winner.bill.prompt_tokens <= CHEAPER * seed.bill.prompt_tokens
    problem = _problem(best, test, broken, is_cheaper=is_cheaper)
    if not problem and winner.right <= commonest:
        verdict += "; form only"
    report = FoundOptimiseReport(
        "",
        f"{problem}: {verdict}" if problem else verdict,
        len(tried) - 1,
        test,
        seed.right,
        winner.right,
        round(commonest, 3),
        broken,
        (seed.bill, winner.bill),
    )
    write_lineage(run, prompt, report, tried)
    if problem:
        return report
    # the version was tested with some of the examples; it is sent with all of them
    everything = (*splits.learn, *splits.choose, *splits.sealed)
    return _published(run, prompt, replace(best, template=with_all_rows(best.template, everything)), report)


def _problem(best: FoundCandidate, test: Paired, broken: tuple[int, int], *, is_cheaper: bool) -> str:
    """Return why a candidate does not win, or ""."""
    if broken[1] > broken[0]:
        return "it breaks the answer contract more often"
    if best.removes:
        # no label measures what the text is for, so a gain must be one that people notice
        is_noticed = test.low >= WORTHWHILE or (is_cheaper and test.low > -WORTHWHILE)
        return "" if is_noticed else "neither better nor cheaper by enough to leave out text"
    return "" if test.is_higher else "not better"


def _published(
    run: JobRun, prompt: FoundPrompt, best: FoundCandidate, report: FoundOptimiseReport
) -> FoundOptimiseReport:
    """Store the winner as far as `[jobs] auto` allows: in the job's folder, as a version, or on trial."""
    auto, folder = run.settings.jobs.auto, run.settings.data_folder
    write_whole(run.folder / WINNER, exported(best.template, prompt.unlocked))
    if auto == "off":
        return replace(report, file=str(run.folder / WINNER))
    template, file = add_template(folder, prompt.id, lambda _: best.template)
    what = "candidate"
    if auto in ("canary", "active"):
        what = "canary" if _on_trial(run.settings, prompt, template.version) else what
    decision = LoggedDecision(f"found:{prompt.name}", template.version, what, report.verdict, run.job.id)
    log_decision(folder, decision)
    return replace(report, won=f"{prompt.name}@{template.version}", file=str(file))


def _on_trial(settings: Settings, prompt: FoundPrompt, version: int) -> bool:
    """Send a version to `[jobs] share` of the conversations. Returns False if another version is on trial."""
    sent: list[FoundPrompt] = []

    def change(content: FoundFile) -> FoundFile:
        own = one_of(content.prompts, prompt.id)
        if own.spoken is None or own.spoken.share >= 1:
            sent.append(replace(own, spoken=promoted(own, version, settings.jobs.share, time.time())))
        return put(content, sent)

    change_found(found_path(settings.data_folder), change)
    return bool(sent)


def write_lineage(run: JobRun, prompt: FoundPrompt, report: FoundOptimiseReport, tried: Sequence[TriedVersion]) -> None:
    lineage = {"job": run.job.id, "prompt": prompt.id, "verdict": report.verdict, "tried": msgspec.to_builtins(tried)}
    write_whole(run.folder / LINEAGE, json.dumps(lineage, indent=1, ensure_ascii=False) + "\n")
