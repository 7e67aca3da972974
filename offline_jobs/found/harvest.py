"""`harvest prompt=NAME`: makes a dataset from the requests of a found prompt.

Near-duplicates are judged by the values of the parts, since whole requests of one prompt are all alike. Right answers
that feedback and corrections do not give can come from a stronger model (`answers_by`).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gateway.ports import Answer
from gateway.prompt.found.contract import breach
from gateway.prompt.found.contract_file import read_contract
from gateway.prompt.found.store import found_path, one_of, read_found
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.near_duplicates import distinct_rows, signature
from offline_jobs.datasets.recorded import read
from offline_jobs.datasets.rows import DatasetRow, What
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.models import open_models
from offline_jobs.engine.run import JobRun
from offline_jobs.found.rows import rows_of, with_answer
from offline_jobs.found.traffic import PromptPortion, mapped

KINDS = tuple(What)
ANSWER_TOKENS = 1500
"""The assumed tokens of one call to the stronger model, for the quote."""


class PortionRows(Struct, frozen=True):
    """The rows of a portion, and the numbers of exchanges read and of secrets removed."""

    rows: list[DatasetRow]
    seen: int
    secrets: int


class FoundHarvestOptions(Struct, frozen=True):
    """The options of `harvest` that count for a found prompt."""

    prompt: str
    name: str
    since: str
    most: int
    answers_by: str
    answers: int


class FoundHarvestReport(Struct, frozen=True):
    """The result. `counts` has the numbers of rows by kind, and of right answers by source. `commonest` is the share of
    the most common right answer.
    """

    dataset: str
    rows: int
    counts: dict[str, int]
    commonest: float


def run(run: JobRun, options: FoundHarvestOptions) -> FoundHarvestReport:
    folder = run.settings.data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, options.prompt)
    contract = read_contract(folder, prompt.id)
    rows: list[DatasetRow] = []
    seen = secrets = 0
    for portion in mapped(run, prompt, options.since, take, contract):
        rows += portion.rows
        seen, secrets = seen + portion.seen, secrets + portion.secrets
    rows = _distinct(newest_answer(rows), options.most)
    if options.answers_by:
        rows = _answered(run, rows, options)
    sources = Counter(row.why[0] for row in rows if row.wanted)
    counts = {
        **Counter(row.what.value for row in rows),
        **{f"right answers by {name}": n for name, n in sources.items()},
    }
    counts |= {"seen": seen, "secrets": secrets}
    query = {"prompt": prompt.id, "version": prompt.newest.number, "since": options.since}
    made = dataset.write(folder, options.name, rows, counts=counts, query=query, job=run.job.id)
    answers = Counter(row.wanted for row in rows if row.wanted)
    commonest = answers.most_common(1)[0][1] / answers.total() if answers else 0.0
    return FoundHarvestReport(made.ref, made.rows, counts, round(commonest, 3))


def take(part: PromptPortion) -> PortionRows:
    """Return the rows of a portion. Runs on an executor."""
    secrets: Counter[str] = Counter()
    rows: list[DatasetRow] = []
    seen = 0
    for exchange in read(part.url, part.window, part.portion):
        seen += 1
        rows += rows_of(exchange, part.prompt, part.contract, secrets)
    return PortionRows(rows, seen, secrets.total())


def estimate(_settings: Settings, options: FoundHarvestOptions) -> Spent:
    """Return the quote for the stronger model's answers. Everything else is free."""
    count = options.answers if options.answers_by else 0
    return Spent(count, count * ANSWER_TOKENS)


def newest_answer(rows: Sequence[DatasetRow]) -> list[DatasetRow]:
    """Return one row for each request. A right answer that was found later counts."""
    by_request: dict[str, DatasetRow] = {}
    for row in rows:
        there = by_request.get(row.request)
        if there is None or row.wanted or not there.wanted:
            by_request[row.request] = row
    return list(by_request.values())


def _distinct(rows: Sequence[DatasetRow], most: int) -> list[DatasetRow]:
    if not rows:
        return []
    signatures = np.stack([signature(row.query) for row in rows])
    what = np.array([KINDS.index(row.what) for row in rows], np.uint8)
    labelled = np.array([bool(row.wanted) for row in rows], bool)
    chosen = distinct_rows(what, labelled, signatures, list(range(len(KINDS))), most)
    return [row for row, stays in zip(rows, chosen, strict=True) if stays]


def _answered(run: JobRun, rows: Sequence[DatasetRow], options: FoundHarvestOptions) -> list[DatasetRow]:
    """Let a stronger model answer rows without a right answer. An answer that breaks the contract is not used."""
    from offline_jobs.found.trial import FoundTrial

    prompt = one_of(read_found(found_path(run.settings.data_folder)).prompts, options.prompt)
    contract = read_contract(run.settings.data_folder, prompt.id)
    chosen = [row for row in rows if not row.wanted][: options.answers]
    with open_models(run) as loop:
        trial = FoundTrial(loop, options.answers_by)
        answers = trial.plain(chosen)
    right = {
        row.request: with_answer(row, answer.text.strip(), f"model {options.answers_by}")
        for row, answer in zip(chosen, answers, strict=True)
        if answer.text.strip() and (contract is None or not breach(contract, Answer(answer.text, answer.finish)))
    }
    return [right.get(row.request, row) for row in rows]
