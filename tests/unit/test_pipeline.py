"""No stage can lose a request."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint, Mode
from gateway.errors import NotFound, NotReady
from gateway.exchange import Exchange, Intent
from gateway.pipeline import PipelineStep, prepare

ASKED = Exchange("x", Ask(Endpoint.CHAT, "m", b"{}"))


class Stage:
    """A stage that knows an intent, or raises, or takes too long."""

    name = "stage"

    def __init__(self, error: Exception | None = None, takes_s: float = 0.0) -> None:
        self.error, self.takes_s = error, takes_s

    async def __call__(self, exchange: Exchange) -> Exchange:
        await asyncio.sleep(self.takes_s)
        if self.error:
            raise self.error
        return replace(exchange, intent=Intent("known")).noted(self.name, "done")


async def test_a_stage_takes_the_exchange_on_and_its_time_is_noted() -> None:
    done = await prepare(ASKED, [PipelineStep(Stage())])

    assert (done.intent.name, done.notes[0].decision) == ("known", "done")
    assert done.notes[0].took_us > 0


@pytest.mark.parametrize(
    ("step", "decision"),
    [
        (PipelineStep(Stage(RuntimeError("a bug"))), "failed"),
        (PipelineStep(Stage(takes_s=5), budget_s=0.01), "skipped"),
        (PipelineStep(Stage(NotReady("overloaded")), improves=True), "skipped"),
    ],
)
async def test_a_stage_that_fails_leaves_the_exchange_as_it_was_and_says_so(step: PipelineStep, decision: str) -> None:
    done = await prepare(ASKED, [step])

    assert replace(done, notes=()) == ASKED
    assert [note.decision for note in done.notes] == [decision]


async def test_a_refusal_reaches_the_client() -> None:
    with pytest.raises(NotFound):
        await prepare(ASKED, [PipelineStep(Stage(NotFound("no such collection")))])


async def test_with_the_mode_off_nothing_that_improves_is_run() -> None:
    off = replace(ASKED, mode=Mode.OFF)

    assert await prepare(off, [PipelineStep(Stage(), improves=True)]) is off


async def test_a_stage_that_waits_within_its_budget_is_done() -> None:
    done = await prepare(ASKED, [PipelineStep(Stage(takes_s=0.001), budget_s=60)])

    assert done.notes[0].decision == "done"


async def test_work_that_a_stage_began_is_ended_with_its_time() -> None:
    ended = asyncio.Event()

    class Waiting(Stage):
        async def __call__(self, exchange: Exchange) -> Exchange:
            try:
                return await super().__call__(exchange)
            finally:
                ended.set()

    await prepare(ASKED, [PipelineStep(Waiting(takes_s=60), budget_s=0.01)])

    assert ended.is_set()


@pytest.mark.parametrize("budget_s", [0.0, 30.0])
async def test_cancelling_is_not_swallowed(budget_s: float) -> None:
    task = asyncio.create_task(prepare(ASKED, [PipelineStep(Stage(takes_s=60), budget_s=budget_s)]))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_must_be_done_stops_the_request_where_it_fails() -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        await prepare(ASKED, [PipelineStep(Stage(RuntimeError("a bug")), must=True)])
    with pytest.raises(TimeoutError):
        await prepare(ASKED, [PipelineStep(Stage(takes_s=1), 0.01, must=True)])
