"""The job `move-prompt`: how would another model answer a found prompt's recorded requests?

Both models answer the same requests, with the recorded history, tools, format and sampling, and the version of the
prompt that everybody gets. With `adapt`, the new model gets a version that was searched for it. The job reports both
sides, and how to switch. It changes nothing, unless `switch` orders it.
"""

import time
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from gateway.prompt.found.adopt import FoundTemplate, identity
from gateway.prompt.found.contract_file import read_contract
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.store import found_path, one_of, read_found
from gateway.prompt.found.templates import read_template
from gateway.records.locations import database_url
from gateway.settings.prices import price_at
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.recorded import RecordWindow, portions
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.budget import Spent, cost
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.models import ANSWER_TOKENS, BYTES_A_TOKEN, open_models
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at
from offline_jobs.errors import JobFailed
from offline_jobs.found.adapt import Adaptation, adapted, switched
from offline_jobs.found.bill import fixed_start
from offline_jobs.found.harvest import newest_answer, take
from offline_jobs.found.model_sides import ModelAnswers, differences, judged, side
from offline_jobs.found.move_report import MoveReport, report_text, switch_text, verdict_of
from offline_jobs.found.traffic import PromptPortion, mapped
from offline_jobs.found.trial import FoundAnswer, FoundTrial

COMPARED = 60
"""With `adapt`, so many rows at most are kept from the search, to compare the models by."""
AT_ONCE = 10
"""The models take turns after this many rows, so that a slow hour is no model's fault."""


class MovePromptOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the job."""

    prompt: str
    """The name or id of a found prompt."""
    to: str
    """The model to move to."""
    present: str = ""
    """The present model. Default: the one that most of the recorded requests name."""
    rows: int = 200
    """The largest number of recorded requests to answer. Each costs two calls."""
    since: str = "30d"
    """The start of the window: an age such as 7d, or a date."""
    share: float = 0.05
    """The share of the conversations that the new model gets at first."""
    adapt: bool = False
    """Whether to search for a version that suits the new model, and to compare with that."""
    switch: bool = False
    """Whether to send a growing share of the prompt's conversations to the new model, if it is not worse with
    certainty."""
    seed: int = 0
    """The seed of the choice of requests and of the intervals."""

    @property
    def problem(self) -> str:
        """What is wrong with the options together, or ""."""
        if self.rows < 1:
            return "rows must be 1 or more"
        if not 0 < self.share < 1:
            return "share must lie between 0 and 1"
        return "to is the present model; give another one" if self.to == self.present else ""


class MoveInputs(Struct, frozen=True):
    """What a resumed job goes on with. `version` is 0 if the application's own text is sent."""

    dataset: str
    present: str
    version: int


def run(run: JobRun, options: MovePromptOptions) -> MoveReport:
    folder = run.settings.data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, options.prompt)
    inputs = run.step("inputs", options, lambda: _inputs(run, prompt, options), MoveInputs)
    rows = list(dataset.find(folder, inputs.dataset).read())
    template = read_template(folder, prompt.id, inputs.version) if inputs.version else None
    made = Adaptation(None, "", tuple(rows))
    if options.adapt:
        made = adapted(run, prompt, inputs.dataset, options.to, rows, min(len(rows), COMPARED))
    rows = list(made.rows)[: run.job.budget.calls // 2]
    versions = template, made.template or template
    with open_models(run) as loop:
        loop.models.exchange((), options.to)  # an unknown model fails before the first call
        target = loop.models.exchange((), inputs.present).route[0]
        embedder = open_embedder(run.settings) if any(one and one.nearest for one in versions) else None
        trials = [FoundTrial(loop, model, embedder) for model in (inputs.present, options.to)]
        answers: list[list[FoundAnswer]] = [[], []]
        for start in range(0, len(rows), AT_ONCE):
            for trial, version, given in zip(trials, versions, answers, strict=True):
                given += trial.answers(version, rows[start : start + AT_ONCE])
    contract = read_contract(folder, prompt.id)
    old, new = (
        judged(model, rows, given, contract, _price(run.settings, model), fixed_start(version or identity(prompt)))
        for model, version, given in zip((inputs.present, options.to), versions, answers, strict=True)
    )
    changes = differences(old, new, options.seed)
    worse, verdict = verdict_of(changes)
    done = ""
    if options.switch and worse:
        done = "not switched: the new model is worse with certainty"
    elif options.switch:
        words = run.job.id, options.to
        done = run.step(
            "switch", words, lambda: switched(run, prompt, made.template or template, options.to, options.share), str
        )
    return MoveReport(
        prompt.name,
        len(rows),
        sum(bool(row.wanted) for row in rows),
        contract is not None,
        (side(old), side(new)),
        changes,
        worse,
        verdict,
        _problem(new),
        switch_text(run.settings, inputs.present, target, options.to, options.share),
        made.verdict,
        done,
    )


def estimate(settings: Settings, options: MovePromptOptions) -> Spent:
    """Return the quote: two calls for each recorded request, each with the longest answer that it allows."""
    prompt = one_of(read_found(found_path(settings.data_folder)).prompts, options.prompt)
    url, now = database_url(settings), time.time()
    window = RecordWindow(at(options.since, now), now, key=prompt.key)
    found: list[DatasetRow] = []
    for part in portions(url, window):
        found += take(PromptPortion(url, window, part, prompt)).rows
    rows = _chosen(found, prompt, options, settings.jobs.calls)
    if options.adapt:
        # the search uses what the comparison leaves
        return Spent(settings.jobs.calls, settings.jobs.tokens, settings.jobs.money)
    tokens, money = 0, 0.0
    for row in rows:
        body = msgspec.json.decode(row.request, type=dict[str, Any])
        asked = len(row.request.encode()) // BYTES_A_TOKEN
        longest = int(body.get("max_completion_tokens") or body.get("max_tokens") or ANSWER_TOKENS)
        tokens += 2 * (asked + longest)
        for model in (options.present or _present(rows), options.to):
            money += cost(settings.call_prices, model, asked, longest)
    return Spent(2 * len(rows), tokens, money)


def _inputs(run: JobRun, prompt: FoundPrompt, options: MovePromptOptions) -> MoveInputs:
    contract = read_contract(run.settings.data_folder, prompt.id)
    found: list[DatasetRow] = []
    for portion in mapped(run, prompt, options.since, take, contract):
        found += portion.rows
    rows = _chosen(found, prompt, options, run.job.budget.calls)
    present = options.present or _present(rows)
    if present == options.to:
        raise JobFailed(
            f"{prompt.name} runs on {present} already; give another model, or the present one (present=MODEL)"
        )
    made = dataset.write(
        run.settings.data_folder,
        f"move-{prompt.id}",
        rows,
        counts={"rows": len(rows)},
        query={"prompt": prompt.id, "since": options.since},
        job=run.job.id,
    )
    template = _sent(run.settings, prompt)
    return MoveInputs(made.ref, present, template.version if template else 0)


def _chosen(
    found: Sequence[DatasetRow], prompt: FoundPrompt, options: MovePromptOptions, calls: int
) -> list[DatasetRow]:
    """Choose rows by a hash, those with a right answer first."""
    if not found:
        raise JobFailed(
            f"no request of {prompt.name} since {options.since} has a readable record; give an earlier since"
        )
    if calls < 2:
        raise JobFailed("a comparison needs 2 calls or more")

    def place(row: DatasetRow) -> tuple[bool, bytes]:
        return not row.wanted, sha256(f"{options.seed} {row.request}".encode()).digest()

    return sorted(newest_answer(found), key=place)[: options.rows if options.adapt else min(options.rows, calls // 2)]


def _present(rows: Sequence[DatasetRow]) -> str:
    """Return the model that most requests name, as the application writes it."""
    names = [msgspec.json.decode(row.request, type=dict[str, Any]).get("model") for row in rows]
    known = Counter(name for name in names if isinstance(name, str) and name)
    if not known:
        raise JobFailed("the recorded requests name no model; give the present one (present=MODEL)")
    return known.most_common(1)[0][0]


def _sent(settings: Settings, prompt: FoundPrompt) -> FoundTemplate | None:
    """Return the version that everybody gets, or None if that is the application's own text."""
    if prompt.spoken is None or prompt.spoken.share < 1:
        return None
    template = read_template(settings.data_folder, prompt.id, prompt.spoken.version)
    return template if template.base == prompt.newest.number else None


def _price(settings: Settings, model: str) -> Any:
    price = settings.model_prices.get(model)
    return None if price is None else price_at(price, time.time())


def _problem(new: ModelAnswers) -> str:
    """Return the commonest reason why the new model did not answer, or ""."""
    reasons = Counter(one.problem for one in new.answers if one.problem)
    return reasons.most_common(1)[0][0] if reasons else ""


JOB = JobKind(
    "answers a found prompt's recorded requests with the present and another model, side by side",
    MovePromptOptions,
    run,
    estimate,
    report_text,
)
