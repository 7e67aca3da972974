"""Makes one model call for the gateway itself, with a time limit, and returns the answer and its cost."""

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from gateway.ask import Turn
from gateway.errors import RequestError
from gateway.exchange import Call, Exchange, Sampling
from gateway.ports import Completer


async def own_call(
    completer: Completer,
    exchange: Exchange,
    turns: Sequence[Turn],
    *,
    purpose: str,
    model: str,
    sampling: Sampling,
    timeout_s: float,
    schema: Mapping[str, Any] | None = None,
) -> tuple[str, Call]:
    """Call the model, and return the text of its answer and the record of the call. If the call fails, the text is ""
    and the record has an `error`.
    """
    began = perf_counter_ns()
    try:
        async with asyncio.timeout(timeout_s):
            done = await completer.complete(
                exchange, turns, purpose=purpose, model=model, sampling=sampling, schema=schema
            )
    except TimeoutError:
        error = f"it took longer than {timeout_s:g} s"
    except RequestError as failed:
        error = failed.message
    else:
        return done.answer.text.strip(), done.call
    return "", Call(purpose, model=model, took_us=(perf_counter_ns() - began) // 1000, error=error)
