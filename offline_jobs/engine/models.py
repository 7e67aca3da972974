"""Calls models for a job, through the gateway's routes and backends.

Each call is first looked up in the ledger, then checked against the budget. Calls are recorded as exchanges with `job`
set, so their costs and traces appear beside those of clients. Jobs are plain functions, so the event loop runs in a
thread.
"""

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter_ns, time, time_ns
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Endpoint, Mode, Turn
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.backends.call import Caller
from gateway.backends.complete import Completions
from gateway.backends.responses import ResponsesOverChat
from gateway.backends.sampling import accepted_by
from gateway.errors import RequestError
from gateway.exchange import Exchange, Rewrite, Sampling
from gateway.perform.performer import Performer
from gateway.ports import ExchangeOutcome, Headers, Reply
from gateway.settings.prices import TokenUse, cost_of
from gateway.wire.chat.answer import read_answer
from gateway.wire.chat.encode import body, question
from offline_jobs.engine.budget import Spent, admit, cost
from offline_jobs.engine.ledger import FAILED_CALL, key_of
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed

T = TypeVar("T")
ANSWER_TOKENS = 512
"""The assumed maximum length of an answer, in tokens, if neither the request nor the template limits it."""
BYTES_A_TOKEN = 3
KEY = ClientKey("job", mode=Mode.ON)
OK = 300


class RecordedReply(Struct, frozen=True):
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    backend: str
    model: str
    took_us: int


class BookedCaller(Caller):
    """A `Caller` that replays replies from the ledger, and makes a new call only if the budget allows it."""

    def __init__(self, gateway: Gateway, run: JobRun) -> None:
        senders = {name: ResponsesOverChat(backend) for name, backend in gateway.backends.items()}
        super().__init__(senders, gateway.state)
        self._gateway = gateway
        self._run = run
        self._opened: dict[str, asyncio.Task[None]] = {}
        self._repetitions: Counter[str] = Counter()
        self._reserved: dict[int, tuple[int, float]] = {}
        self._numbers = 0
        self._under_way: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.took_us: dict[str, int] = {}
        """How long each call took when it was made, by the id of the exchange. A replayed call took as long as then."""
        self._met: dict[str, tuple[int, float]] = {}
        """The tokens and money of each successful call that this run has made or replayed so far, by the key of the
        call."""

    @property
    def used(self) -> Spent:
        """The cost of all calls that this run has made or replayed so far.

        Failed calls of all runs count as calls, without tokens and money. Time is not included.
        """
        calls = len(self._met) + self._run.ledger.failed_calls(self._run.job.id)
        tokens = sum(tokens for tokens, _ in self._met.values())
        return Spent(calls, tokens, sum(money for _, money in self._met.values()))

    async def call(self, exchange: Exchange, headers: Headers) -> Reply:
        self._run.check()
        request = body(exchange, "")
        key = self._key(request, exchange)
        # of two equal calls at the same time, only one is made
        async with self._under_way[key]:
            return await self._once(key, request, exchange, headers)

    async def _once(self, key: str, request: bytes, exchange: Exchange, headers: Headers) -> Reply:
        known = self._run.ledger.call(self._run.job.id, key)
        if known is not None:
            self._met[key] = (known.tokens, known.money)
            recorded = msgspec.msgpack.decode(known.reply, type=RecordedReply)
            self.took_us[exchange.id] = recorded.took_us
            return Reply(
                recorded.status, recorded.headers, recorded.body, backend=recorded.backend, model=recorded.model
            )
        await self._open(exchange)
        with self._reserve(request, exchange):
            began = perf_counter_ns()
            try:
                reply = await super().call(exchange, headers)
            except RequestError:
                self._run.ledger.book(self._run.job.id, f"{key}{FAILED_CALL}{time_ns()}", b"", 0, 0.0)
                raise
            took_us = self.took_us[exchange.id] = (perf_counter_ns() - began) // 1000
            self._book(key, exchange, reply, took_us)
        return reply

    def _key(self, request: bytes, exchange: Exchange) -> str:
        """Return the key of a call.

        When a sampled call is repeated, each repetition gets its own key. A greedy call always gives the same answer,
        so its repetitions share a key.
        """
        key = key_of([target.backend + "/" + target.model for target in exchange.route], request)
        if _field(request, "temperature") == 0:
            return key
        self._repetitions[key] += 1
        return f"{key}-{self._repetitions[key]}"

    @contextmanager
    def _reserve(self, request: bytes, exchange: Exchange) -> Iterator[None]:
        """Reserve the highest possible cost of a call while the call runs.

        Raises `BudgetSpent` if this cost does not fit into the budget.
        """
        prompt, longest = len(request) // BYTES_A_TOKEN, int(_field(request, "max_tokens") or ANSWER_TOKENS)
        money = cost(self._run.settings.call_prices, exchange.ask.model, prompt, longest)
        spent = self._run.spent
        committed = replace(
            spent,
            calls=spent.calls + len(self._reserved),
            tokens=spent.tokens + sum(tokens for tokens, _ in self._reserved.values()),
            money=spent.money + sum(money for _, money in self._reserved.values()),
        )
        admit(self._run.job.budget, committed, prompt + longest, money)
        self._numbers += 1
        number = self._numbers
        self._reserved[number] = (prompt + longest, money)
        try:
            yield
        finally:
            del self._reserved[number]

    def _book(self, key: str, exchange: Exchange, reply: Reply, took_us: int) -> None:
        answer = read_answer(reply.body, "application/json") if reply.status < OK else None
        used = (max(0, answer.prompt_tokens), max(0, answer.completion_tokens)) if answer else (0, 0)
        use = TokenUse(*used, answer.cached_tokens, answer.reasoning_tokens) if answer else TokenUse()
        money = cost_of(self._run.settings.model_prices, exchange.ask.model, use, time())
        if reply.status >= OK:
            key = f"{key}{FAILED_CALL}{time_ns()}"  # a failed call counts, and a resumed job makes it again
        else:
            self._met[key] = (sum(used), money)
        recorded = RecordedReply(reply.status, reply.headers, reply.body, reply.backend, reply.model, took_us)
        self._run.ledger.book(self._run.job.id, key, msgspec.msgpack.encode(recorded), sum(used), money)
        # the template is not recorded: trials of a job do not show how well a version serves users
        own = replace(exchange, job=self._run.job.id, rewrite=Rewrite.NONE, started_s=time(), key=KEY)
        kind = dict(reply.headers).get(b"content-type", b"application/json").decode("latin-1")
        outcome = ExchangeOutcome(
            "finished", reply.status, reply.backend, reply.model, kind, body=reply.body, total_us=took_us
        )
        self._gateway.over(own, outcome)

    async def _open(self, exchange: Exchange) -> None:
        """Open the backends of a route before their first call."""
        for target in exchange.route:
            task = self._opened.get(target.backend)
            if task is None:
                task = asyncio.ensure_future(self._gateway.backends[target.backend].open())
                self._opened[target.backend] = task
            await asyncio.shield(task)


class JobModels:
    """Calls the configured models for a job."""

    def __init__(self, gateway: Gateway, run: JobRun) -> None:
        self.gateway = gateway
        self.run = run
        self.caller = BookedCaller(gateway, run)
        self.completions = Completions(self.caller, gateway.routes)
        self.perform = Performer(self.caller, self.completions)
        self._limit = asyncio.Semaphore(run.settings.jobs.parallel)
        self._count = 0

    def exchange(self, turns: Sequence[Turn], model: str, sampling: Sampling = Sampling.NONE) -> Exchange:
        """Make an exchange that sends `turns` to a model. Raises `JobFailed` if the model is unknown."""
        name = model or self.run.settings.routing.default
        try:
            route = self.gateway.routes.targets(name, Endpoint.CHAT)
        except RequestError as error:
            raise JobFailed(f"no backend offers the model {name!r}: {error.message}") from error
        self._count += 1
        ask = Ask(Endpoint.CHAT, name, question(name, turns, sampling), tuple(turns))
        id = f"{self.run.job.id}-{time():.0f}-{self._count}"
        return Exchange(id, ask, KEY, started_s=time(), route=route, job=self.run.job.id)

    def sampling_of(self, model: str) -> tuple[str, ...]:
        """Return the decoder settings that a template may set for the model's first backend.

        Raises `JobFailed` if the model is unknown.
        """
        first = self.exchange((), model).route[0]
        return accepted_by(self.gateway.backends[first.backend], first.model)

    async def say(self, turns: Sequence[Turn], model: str, sampling: Sampling) -> str:
        """Send `turns` to a model and return the text of its answer.

        Raises `RequestError` if the call fails, and `JobFailed` if the model refuses the request.
        """
        reply = await self.caller.call(self.exchange(turns, model, sampling), ())
        if reply.status >= OK:
            raise JobFailed(f"the model {model!r} refused the request: {reply.body[:200].decode('utf-8', 'replace')}")
        return read_answer(reply.body, "application/json").text

    async def limited(self, work: Callable[[Any], Coroutine[Any, Any, T]], value: Any) -> T:
        async with self._limit:
            return await work(value)


class Loop:
    """An event loop in a thread. Other threads call `do` to run a coroutine on the loop and wait for the result."""

    def __init__(self, models: JobModels, loop: asyncio.AbstractEventLoop) -> None:
        self.models = models
        self._loop = loop

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def all(self, work: Callable[[Any], Coroutine[Any, Any, T]], inputs: Sequence[Any]) -> list[T]:
        """Run `work` on each input, at most `[jobs] parallel` at a time. Results come in the order of the inputs."""
        return self.do(_gathered([self.models.limited(work, value) for value in inputs]))


@contextmanager
def open_models(run: JobRun) -> Iterator[Loop]:
    """Open the configured gateway without a server. On exit, all its exchanges are written to the database."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="models", daemon=True)
    thread.start()

    async def built() -> JobModels:
        return JobModels(assemble(run.settings), run)

    def do(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    models = do(built())
    try:
        yield Loop(models, loop)
    finally:
        do(_closed(models.gateway))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _closed(gateway: Gateway) -> None:
    if gateway.keeping is not None:
        await gateway.keeping.drain.aclose()
    for backend in gateway.backends.values():
        await backend.aclose()
    await gateway.state.aclose()


async def _gathered(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Wait for all calls, even if one fails, because their replies are paid for and must be stored. Then raise the
    first error."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _field(request: bytes, name: str) -> Any:
    return msgspec.json.decode(request, type=dict[str, Any]).get(name)
