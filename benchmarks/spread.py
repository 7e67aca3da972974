"""Compares the strategies for deployments with the best fixed choice: shares, cost, errors and latency.

    python benchmarks/spread.py --requests 2000

Three stubs stand in for paid servers. `steady` answers in 60 ms. `cheap` costs a fifth, answers in 25 to 400 ms, and
fails once in ten requests. `dear` costs three times as much, answers in 40 ms, and stalls for a second once in fifty
requests. Prices are per request. Each stub answers at most eight requests at a time and queues the others.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Any

from gateway.ask import Ask, Controls, Endpoint, Mode
from gateway.backends.call import Caller
from gateway.backends.calling.breaker import Breaker
from gateway.backends.routing.figures import LiveFigures
from gateway.backends.routing.routes import Routes
from gateway.backends.routing.stage import RouteStage
from gateway.exchange import Exchange
from gateway.ports import ModelCard, Reply
from gateway.settings.jobs import Price
from gateway.settings.models import Deployment, ModelTable, SpreadStrategy
from gateway.state.memory import MemoryState

AT_A_TIME = 24
PRICES = {"steady": 1.0, "cheap": 0.2, "dear": 3.0}


class Stub:
    """A server of known speed and reliability."""

    def __init__(self, name: str, delay_s: Callable[[Random], float], failing: float, random: Random) -> None:
        self.name, self._delay_s, self._failing, self._random = name, delay_s, failing, random
        self._room = asyncio.Semaphore(8)
        self.running = self.begun = 0

    def models(self) -> list[ModelCard]:
        return [ModelCard(self.name, (Endpoint.CHAT,))]

    async def send(self, exchange: Exchange, model: str, headers: Any) -> Reply:
        self.begun += 1
        self.running += 1
        try:
            async with self._room:
                await asyncio.sleep(self._delay_s(self._random))
        finally:
            self.running -= 1
        return Reply(503 if self._random.random() < self._failing else 200, (), backend=self.name)


def stubs(random: Random) -> dict[str, Stub]:
    return {
        "steady": Stub("steady", lambda _: 0.06, 0.0, random),
        "cheap": Stub("cheap", lambda random: random.uniform(0.025, 0.4), 0.1, random),
        "dear": Stub("dear", lambda random: 1.0 if random.random() < 0.02 else 0.04, 0.0, random),
    }


async def measure(
    title: str, count: int, names: tuple[str, ...], strategy: SpreadStrategy, hedge_s: float | None
) -> None:
    random = Random(5)
    backends: Any = stubs(random)
    entries = tuple([Deployment(name, name, price=Price(prompt=PRICES[name])) for name in names])
    model = ModelTable(deployments=entries, strategy=strategy, hedge_s=hedge_s)
    figures = LiveFigures(backends)
    stage = RouteStage(Routes({"chat": model}, backends, "chat"), Mode.OFF, live=figures, chance=random.random)
    state = MemoryState()
    caller = Caller(backends, state, breaker=Breaker(state), figures=figures)
    times, answered, errors = [], Counter[str](), 0

    async def worker() -> None:
        nonlocal errors
        while len(times) < count:
            began = perf_counter()
            controls = Controls(conversation=str(random.randrange(100)))
            exchange = await stage(Exchange("x", Ask(Endpoint.CHAT, "chat", b"{}", controls=controls)))
            reply = await caller.call(exchange, ())
            times.append(perf_counter() - began)
            answered[reply.backend] += 1
            errors += reply.status != 200

    await asyncio.gather(*[worker() for _ in range(AT_A_TIME)])
    times.sort()
    cost = sum(backends[name].begun * PRICES[name] for name in backends) / len(times)
    shares = " ".join(f"{name} {answered[name] / len(times):.2f}" for name in PRICES)
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    figures_text = f"cost {cost:5.2f}   errors {errors / len(times):6.1%}   p50 {p50:5.0f} ms   p99 {p99:5.0f} ms"
    sys.stdout.write(f"{title:24} {shares}   {figures_text}\n")


async def main(count: int) -> None:
    for name in PRICES:
        await measure(f"only {name}", count, (name,), SpreadStrategy.WEIGHTED, None)
    every = tuple(PRICES)
    for strategy in SpreadStrategy:
        await measure(strategy.value, count, every, strategy, None)
    for strategy in (SpreadStrategy.LEAST_BUSY, SpreadStrategy.FASTEST):
        await measure(f"{strategy.value}, hedge 0.2 s", count, every, strategy, 0.2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="requests for each row")
    asyncio.run(main(parser.parse_args().requests))
