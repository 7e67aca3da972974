"""Runs the stages of `prepare` in order. If a stage without `must` fails, the request goes on without that stage."""

import asyncio
import logging
from collections.abc import Coroutine, Generator, Sequence
from time import perf_counter_ns
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Mode
from gateway.errors import RequestError
from gateway.exchange import Exchange, Note
from gateway.ports import Stage

log = logging.getLogger("foreword.pipeline")


class PipelineStep(Struct, frozen=True):
    """A stage, and the rules for running it.

    `budget_s` is the time limit, or 0 for none. `improves` marks a stage that is skipped in the mode `off`. `must`
    marks a stage whose failure fails the request, since the request would mean something else without the stage.
    """

    stage: Stage
    budget_s: float = 0.0
    improves: bool = False
    must: bool = False


async def prepare(exchange: Exchange, steps: Sequence[PipelineStep]) -> Exchange:
    """Run all steps on the exchange.

    If a step fails or exceeds its budget, the exchange stays as it was, and a note says so. Cancellation is always
    raised, and so is a failure of a step with `must`. A `RequestError` is an answer to the client; it is raised unless
    the step only improves the prompt.
    """
    for step in steps:
        if step.improves and exchange.mode is Mode.OFF:
            continue
        started = perf_counter_ns()
        before = exchange
        try:
            if step.budget_s:
                exchange = await _WithinBudget(step.budget_s, step.stage(before))
            else:
                exchange = await step.stage(before)
        except RequestError as error:
            if not step.improves:
                raise
            exchange = before.noted(step.stage.name, "skipped", error.message)
        except TimeoutError:
            if step.must:
                raise
            exchange = before.noted(step.stage.name, "skipped", f"took longer than {step.budget_s * 1000:.0f} ms")
        except Exception as error:
            if step.must:
                raise
            log.exception("stage failed", extra={"stage": step.stage.name, "exchange": before.id})
            exchange = before.noted(step.stage.name, "failed", f"{type(error).__name__}; see the log")
        if exchange is not before and exchange.notes:
            exchange = _timed(exchange, (perf_counter_ns() - started) // 1000)
    return exchange


class _WithinBudget:
    """Awaits a stage. Raises `TimeoutError` if the stage waits for longer than its budget.

    The timeout starts when the stage first waits. Most stages never wait, and `asyncio.timeout` costs more than some
    stages.
    """

    def __init__(self, budget_s: float, work: Coroutine[Any, Any, Exchange]) -> None:
        self._budget_s = budget_s
        self._work = work

    def __await__(self) -> Generator[Any, Any, Exchange]:
        until_s = asyncio.get_running_loop().time() + self._budget_s
        try:
            awaited = self._work.send(None)
        except StopIteration as done:
            result: Exchange = done.value
            return result
        return (yield from self._rest(_StartedCoroutine(self._work, awaited), until_s).__await__())

    async def _rest(self, begun: "_StartedCoroutine", until_s: float) -> Exchange:
        async with asyncio.timeout_at(until_s):
            result: Exchange = await begun
            return result


class _StartedCoroutine:
    """Continues a coroutine that has already run up to its first wait. The future of that wait is awaited first."""

    def __init__(self, work: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._work = work
        self._awaited: Any = awaited
        self._was_first_sent = False

    def __await__(self) -> Any:
        return self

    def __next__(self) -> Any:
        if self._was_first_sent:
            return self._work.send(None)
        self._was_first_sent = True
        return self._awaited

    def throw(self, *error: Any) -> Any:
        return self._work.throw(*error)

    def close(self) -> None:
        self._work.close()


def _timed(exchange: Exchange, took_us: int) -> Exchange:
    """Write the time that a step took into the last note, which the step has added."""
    note: Note = replace(exchange.notes[-1], took_us=took_us)
    return replace(exchange, notes=(*exchange.notes[:-1], note))
