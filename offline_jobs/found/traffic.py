"""Reads the requests of one found prompt from the records."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.index import PromptIndex
from gateway.records.locations import database_url
from offline_jobs.datasets.judge_records import READABLE
from offline_jobs.datasets.recorded import JudgedExchange, Portion, RecordWindow, portions, read
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at


class PromptPortion(Struct, frozen=True):
    """A portion of the records, and the prompt whose requests are read."""

    url: str
    window: RecordWindow
    portion: Portion
    prompt: FoundPrompt
    contract: AnswerContract | None = None


class PromptRequest(Struct, frozen=True):
    """A recorded request that the newest version of a prompt built, with the values of its parts."""

    seen: JudgedExchange
    values: tuple[str, ...]
    is_ambiguous: bool


def requests_of(part: PromptPortion) -> Iterator[PromptRequest]:
    """Yield the requests of a portion that the newest version of the prompt built. Only readable records count."""
    index = PromptIndex([part.prompt])
    for seen in read(part.url, part.window, part.portion):
        record = seen.record
        if record.policy != READABLE or record.key != part.prompt.key:
            continue
        match = index.find(record.key, record.endpoint, record.turns)
        if match is not None and match.version.number == part.prompt.newest.number:
            system = record.turns[0].text if match.version.system is not None else None
            yield PromptRequest(seen, match.values, match.is_ambiguous(system, _last(seen)))


def _last(seen: JudgedExchange) -> str:
    return next((turn.text for turn in reversed(seen.record.turns) if turn.role == "user"), "")


def mapped(
    run: JobRun,
    prompt: FoundPrompt,
    since: str,
    task: Callable[[PromptPortion], Any],
    contract: AnswerContract | None = None,
) -> Iterator[Any]:
    """Run a task on each portion of the window, and yield the results in the order of time. The first run fixes the
    window.
    """
    now = time.time()
    window = run.step(
        "window", [prompt.id, since], lambda: RecordWindow(at(since, now), now, key=prompt.key), RecordWindow
    )
    url = database_url(run.settings)
    cut = run.step("portions", window, lambda: portions(url, window), list[Portion])
    for result in run.executor.map(task, [PromptPortion(url, window, part, prompt, contract) for part in cut]):
        run.check()
        yield result


def is_answered(seen: JudgedExchange) -> bool:
    """Whether the request was answered completely."""
    return seen.record.status == 200 and seen.record.ending == "finished"
