"""Writes the result of a search: the report, the lineage of all candidates, and the winner's files."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from gateway.disk.atomic_file import write_whole
from gateway.records.scores import Paired
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.run import JobRun
from offline_jobs.publish.winner import LINEAGE, WINNER
from offline_jobs.search.candidate import (
    CandidateExamples,
    Pieces,
    assembled,
    examples_in,
    pool_file,
    pool_text,
)
from offline_jobs.search.optimizer import id_of, pareto
from offline_jobs.search.template_search import OptimiseOptions, TemplateSearch


class OptimiseReport(Struct, frozen=True):
    """The result. `won` is the new version, or "" if no candidate was better. `tried` counts the candidates."""

    won: str
    verdict: str
    tried: int
    sealed: Paired | None = None
    start: float = 0.0
    best: float = 0.0
    commonest: float = 0.0
    """The share of sealed rows that have the most common right answer. A model that always gives this answer gets this
    score."""
    parts: dict[str, float] = {}
    """The score after each change that led to the winner. Scores are measured on the rows to choose by.

    If a candidate did not answer all of these rows, its score is measured on all rows that it answered.
    """
    file: str = ""


class SearchInputs(Struct, frozen=True):
    """The template and the datasets, each with its version. A name alone could mean a different version when the job is
    resumed."""

    template: str
    dataset: str
    examples: str


def commonest_share(rows: Sequence[DatasetRow]) -> float:
    """Return the share of the most common right answer, or 0.0 if no row has a right answer."""
    counts = Counter(row.wanted.strip().casefold() for row in rows if row.wanted)
    return max(counts.values(), default=0) / max(1, len(rows))


def score_path(problem: TemplateSearch, best: int) -> dict[str, float]:
    """Return the mean score of each candidate on the path from the template to `best`. The keys say what proposed the
    candidate."""
    path: dict[str, float] = {}
    place = best
    while place >= 0:
        candidate = problem.log[place]
        mean = candidate.mean(problem.choose)
        path[candidate.by] = round(candidate.so_far if mean is None else mean, 4)
        place = candidate.parent
    return dict(reversed(path.items()))


def write_lineage(
    run: JobRun,
    options: OptimiseOptions,
    inputs: SearchInputs,
    problem: TemplateSearch,
    best: int,
    report: OptimiseReport,
    model: str,
) -> dict[str, Any]:
    """Write all candidates to a JSON file, with parent, proposer, reason and score. Returns the written data."""
    parent = problem.trial.parent
    front = set(pareto(problem.log, problem.choose))
    tried = [
        {
            "id": id_of(candidate.pieces),
            "parent": id_of(problem.log[candidate.parent].pieces) if candidate.parent >= 0 else "",
            "by": candidate.by,
            "why": candidate.why,
            "score": candidate.mean(problem.choose),
            "so_far": candidate.so_far,
            "rows": len(candidate.outcomes),
            "feedback": next((score.feedback for score in candidate.outcomes.values() if score.feedback), ""),
            "front": place in front,
            "pieces": _shown(candidate.pieces),
        }
        for place, candidate in enumerate(problem.log)
    ]
    lineage = {
        "job": run.job.id,
        "parent": parent.template.ref,
        "parent_file": str(parent.file),
        "parent_digest": parent.template.digest,
        "dataset": inputs.dataset,
        "model": model,
        "critic": options.critic or run.settings.jobs.critic,
        "verdict": report.verdict,
        "sealed": msgspec.to_builtins(report.sealed),
        "start": report.start,
        "best": report.best,
        "winner": id_of(problem.log[best].pieces),
        "critic_asked": problem.critic_asked,
        "tried": tried,
    }
    write_whole(run.folder / LINEAGE, _text(lineage))
    return lineage


def write_winner(run: JobRun, problem: TemplateSearch, best: int, lineage: dict[str, Any]) -> str:
    """Write the winner's folder with the template, its pool of examples and the lineage. Returns the winner's
    `id@version`."""
    parent, pieces = problem.trial.parent, problem.log[best].pieces
    test = lineage["sealed"]
    scores = {
        "test_n": str(test["pairs"]),
        "baseline": f"{lineage['start']:.3f}",
        "this": f"{lineage['best']:.3f}",
        "difference": f"{test['mean']:.3f}",
        "low": f"{test['low']:.3f}",
        "high": f"{test['high']:.3f}",
        "p": f"{test['p']:.5f}",
        "model": lineage["model"],
        "dataset": lineage["dataset"],
    }
    provenance = {
        "origin": "job",
        "author": parent.template.provenance.author,
        "licence": parent.template.provenance.licence,
        "parent": parent.template.ref,
        "run": run.job.id,
        "scores": scores,
    }
    source = assembled(parent, pieces, provenance={key: value for key, value in provenance.items() if value})
    folder = run.folder / "winner"
    folder.mkdir(exist_ok=True)
    examples = examples_in(pieces)
    if examples.form == "nearest":
        write_whole(folder / pool_file(examples), pool_text(examples))
    write_whole(folder / LINEAGE, _text(lineage))
    write_whole(folder / WINNER, source)
    return f"{parent.template.id}@{parent.template.version + 1}"


def _shown(pieces: Pieces) -> Pieces:
    """Return the pieces for the report, with at most 20 rows of examples."""
    examples = examples_in(pieces)
    few = CandidateExamples(examples.form, examples.k, examples.rows[:20])
    return {**pieces, "examples": json.dumps(msgspec.to_builtins(few), ensure_ascii=False)}


def _text(lineage: dict[str, Any]) -> str:
    return json.dumps(lineage, indent=1, ensure_ascii=False) + "\n"
