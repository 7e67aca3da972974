"""The job `found-examples`: makes the next version of an adopted prompt, with worked examples from the prompt's own
traffic.

The examples are requests whose right answer is known: feedback gave the answer, or a full score confirmed the model's
answer. The examples come only from requests with the key in whose traffic the prompt was found. No request gets the new
version before a person promotes it.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.adopt import HISTORY, FoundTemplate, SkeletonPart, TemplateMessage
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.index import PromptIndex
from gateway.prompt.found.store import found_path, one_of, read_found
from gateway.prompt.found.templates import add_template, newest_template
from gateway.records.locations import database_url
from gateway.records.scrub import scrubbed
from gateway.settings.tables import Settings
from offline_jobs.datasets.judge_records import READABLE
from offline_jobs.datasets.recorded import JudgedExchange, Portion, RecordWindow, portions, read
from offline_jobs.discover.features import hashed
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at
from offline_jobs.errors import JobFailed

RIGHT = 0.99
LONGEST = 2000
"""A message or an answer longer than this is not used as an example, because it would make each request too expensive.
"""


class FoundExamplesOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the job."""

    prompt: str
    """The name or the id of the adopted prompt."""
    count: int = 8
    """The number of examples."""
    since: str = "30d"
    """The start of the window: an age such as 7d, or a date."""


class WorkedExample(Struct, frozen=True):
    """The last message of a request, and the right answer to it."""

    message: str
    answer: str


class FoundExamplesReport(Struct, frozen=True):
    """The result. `commonest` is the share of the most common right answer. A model that always gives this answer gets
    this score."""

    prompt: str
    version: int
    rows: int
    commonest: float
    examples: int
    added_chars: int


class ExamplesPortion(Struct, frozen=True):
    """A portion of the records, and the prompt for which examples are read from the portion."""

    url: str
    window: RecordWindow
    portion: Portion
    prompt: FoundPrompt


def run(run: JobRun, options: FoundExamplesOptions) -> FoundExamplesReport:
    folder = run.settings.data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, options.prompt)
    newest_template(folder, prompt.id)
    now = time.time()
    window = run.step(
        "window", options, lambda: RecordWindow(at(options.since, now), now, key=prompt.key), RecordWindow
    )
    url = database_url(run.settings)
    cut = run.step("portions", window, lambda: portions(url, window), list[Portion])
    rows: list[WorkedExample] = []
    for found in run.executor.map(rows_of, [ExamplesPortion(url, window, part, prompt) for part in cut]):
        run.check()
        rows += found
    if not rows:
        remedy = "send feedback with the right `answer`, or with the score 1, for some of its requests"
        raise JobFailed(f"{prompt.name} has no request with a right answer; {remedy}")
    chosen = choose(rows, options.count)
    version, _ = add_template(folder, prompt.id, lambda before: with_examples(before, chosen))
    commonest = Counter(row.answer for row in rows).most_common(1)[0][1] / len(rows)
    chars = sum(len(one.message) + len(one.answer) for one in chosen)
    return FoundExamplesReport(prompt.name, version.version, len(rows), round(commonest, 3), len(chosen), chars)


def estimate(_settings: Settings, _options: FoundExamplesOptions) -> Spent:
    """Return an empty estimate, because no model is called."""
    return Spent()


def rows_of(part: ExamplesPortion) -> list[WorkedExample]:
    """Return the requests of a portion that match the prompt and whose right answer is known.

    Texts with a secret or a person's data are left out.
    """
    index = PromptIndex([part.prompt])
    rows = (_row(seen, index) for seen in read(part.url, part.window, part.portion))
    return [row for row in rows if row is not None]


def _row(seen: JudgedExchange, index: PromptIndex) -> WorkedExample | None:
    record = seen.record
    if record.policy != READABLE or any(turn.role == "assistant" for turn in record.turns):
        return None
    match = index.find(record.key, record.endpoint, record.turns)
    if match is None or match.version.number != match.prompt.newest.number:
        return None
    answer = _right_answer(seen)
    message = record.turns[-1].text
    if not answer or max(len(message), len(answer)) > LONGEST:
        return None
    return WorkedExample(message, answer) if scrubbed(message + answer) == message + answer else None


def _right_answer(seen: JudgedExchange) -> str:
    for opinion in reversed(seen.feedback):
        if opinion.answer:
            return opinion.answer
        if opinion.score is not None and opinion.score >= RIGHT:
            return seen.record.answer.text
    return ""


def choose(rows: Iterable[WorkedExample], count: int) -> list[WorkedExample]:
    """Return up to `count` distinct examples, with as many different answers as possible.

    For each answer, short messages are preferred because they cost least.
    """
    by_answer: defaultdict[str, list[WorkedExample]] = defaultdict(list)
    for row in sorted(set(rows), key=lambda row: (len(row.message), hashed(row.message))):
        by_answer[row.answer].append(row)
    chosen: list[WorkedExample] = []
    answers = sorted(by_answer, key=lambda answer: (-len(by_answer[answer]), answer))
    while answers and len(chosen) < count:
        for answer in answers[: count - len(chosen)]:
            chosen.append(by_answer[answer].pop(0))  # noqa: PERF401 - each takes the next of its own list
        answers = [answer for answer in answers if by_answer[answer]]
    return sorted(chosen, key=lambda row: hashed(row.message))


def with_examples(before: FoundTemplate, examples: Sequence[WorkedExample]) -> FoundTemplate:
    """Return the next version of the prompt, with the examples. The examples stand before the conversation, and after
    the part that a provider may cache."""
    at = next(number for number, message in enumerate(before.messages) if message.role == HISTORY)
    # the new examples replace earlier ones
    head = [message for message in before.messages[:at] if message.role == "system"]
    turns = [
        TemplateMessage(role, (SkeletonPart(text=text, frozen=False),))
        for example in examples
        for role, text in (("user", example.message), ("assistant", example.answer))
    ]
    messages = (*head, *turns, *before.messages[at:])
    return replace(before, messages=messages, version=before.version + 1)


JOB = JobKind(
    "the next version of an adopted prompt, with worked examples from its traffic", FoundExamplesOptions, run, estimate
)
