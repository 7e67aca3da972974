"""Scores exchanges by feedback, by the checks of their template, and by the right answer where it is known."""

from collections import Counter
from collections.abc import Collection
from functools import cache
from pathlib import Path

from gateway.errors import TemplateError
from gateway.prompt.answers.checks import failures
from gateway.prompt.answers.judge import matches, passed
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.templates.template import Template
from gateway.records.scrub import scrubbed
from offline_jobs.datasets.recorded import JudgedExchange
from offline_jobs.datasets.rows import DatasetRow, What

HALF = 0.5
READABLE = "full"
"""The record policy under which records contain readable texts."""


@cache
def library_of(folders: tuple[str, ...]) -> Library:
    """Return the template library in these folders. Each process reads the folders only once, so all portions see the
    same library."""
    return load_library([Path(folder) for folder in folders])[0]


def row_of(seen: JudgedExchange, library: Library, keep: Collection[str], secrets: Counter[str]) -> DatasetRow | None:
    """Convert an exchange to a row, without secrets. Returns None if the row's kind is not in `keep`.

    Removed secrets are counted in `secrets`.
    """
    record = seen.record
    if record.policy != READABLE or record.status != 200 or record.ending != "finished":
        return None
    query = next((turn.text for turn in reversed(record.turns) if turn.role == "user" and turn.plain), "")
    if not query.strip():
        return None
    newest = list(reversed(seen.feedback))
    right_answer = next((opinion.answer for opinion in newest if opinion.answer), "")
    label = next((opinion.label for opinion in newest if opinion.label), "")
    score, why = _worth(seen, library, right_answer)
    what = _what(seen, score)
    if what not in keep:
        return None
    return DatasetRow(
        query=scrubbed(query, secrets),
        what=what,
        wanted=scrubbed(right_answer, secrets),
        answer=scrubbed(record.answer.text, secrets),
        label=scrubbed(label, secrets),
        score=score,
        why=why,
        intent=record.intent.name,
        template=record.rewrite.template,
        version=record.rewrite.version,
        model=record.upstream or record.model,
        language=record.intent.language,
        exchange=record.id,
        time_s=record.time_s,
    )


def _worth(seen: JudgedExchange, library: Library, right_answer: str) -> tuple[float, tuple[str, ...]]:
    """Return the lowest score of an exchange, and the sources of its scores. Without a score, the first value is -1."""
    scores: dict[str, float] = {}
    opinions = [opinion.score for opinion in seen.feedback if opinion.score is not None]
    if opinions:
        scores["feedback"] = sum(opinions) / len(opinions)
    text = seen.record.answer.text
    if right_answer:
        scores["wanted"] = matches(text, right_answer)
    template = _template(seen, library)
    if template is not None and (share := passed(text, template.checks)) is not None:
        wrong = failures(text, template.checks)
        scores[f"checks: {'; '.join(wrong)}" if wrong else "checks"] = share
    if not scores:
        return -1.0, ()
    lowest = min(scores.values())
    return lowest, tuple(name for name, value in scores.items() if value == lowest)


def _template(seen: JudgedExchange, library: Library) -> Template | None:
    rewrite = seen.record.rewrite
    if not rewrite.template or not seen.record.changed:
        return None
    try:
        return library.get(rewrite.template, rewrite.version)
    except TemplateError:
        return None


def _what(seen: JudgedExchange, score: float) -> What:
    if score >= 0:
        return What.FAILURE if score < HALF or (score < 1 and not seen.feedback) else What.SUCCESS
    alone = len(seen.record.turns) == 1
    return What.UNFITTED if alone and not seen.record.rewrite.template else What.UNSCORED
