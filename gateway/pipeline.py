"""Runs the stages of `prepare`, one after the other, so that none can lose or spoil a request."""

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter_ns

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import RequestError
from gateway.exchange import Exchange, Mode, Note
from gateway.ports import Stage

log = logging.getLogger("foreword.pipeline")


class Step(Struct, frozen=True):
    """A stage and how it is run.

    `budget_s` 0: it never waits, so it needs no clock. `improves`: all it does is better prompts,
    so it is passed over where the mode is off. `must`: without it the request would be another one, so
    where it fails, so does the request.
    """

    stage: Stage
    budget_s: float = 0.0
    improves: bool = False
    must: bool = False


async def prepare(exchange: Exchange, steps: Sequence[Step]) -> Exchange:
    """Take the exchange through all steps.

    A step that fails or exceeds its budget leaves the exchange as it was, with a note that says
    so. A `RequestError` is an answer to the client and passes, unless all the step does is better
    the prompt; cancellation always passes, and so does what stops a step that must be done.
    """
    for step in steps:
        if step.improves and exchange.mode is Mode.OFF:
            continue
        started = perf_counter_ns()
        before = exchange
        try:
            if step.budget_s:
                async with asyncio.timeout(step.budget_s):
                    exchange = await step.stage(before)
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


def _timed(exchange: Exchange, took_us: int) -> Exchange:
    """Write what a step took into the last note, which is that step's."""
    note: Note = replace(exchange.notes[-1], took_us=took_us)
    return replace(exchange, notes=(*exchange.notes[:-1], note))
