"""Serves a model in this process as a backend. The engine may use any library.

Requests wait here for a slot, and run on worker threads. `wire/engine/` converts between OpenAI's JSON and the engine's
calls. The engine only computes.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from msgspec import Struct

from gateway.ask import Endpoint
from gateway.backends.local.generation import Call, Callback, Generation
from gateway.backends.local.room import EngineRoom
from gateway.errors import BackendFailed, BadRequest, LimitReached, NotFound, NotReady, RequestError
from gateway.exchange import Exchange, Note
from gateway.ports import Headers, ModelCard, Reply
from gateway.wire.chat import encode
from gateway.wire.engine import ask as engine
from gateway.wire.engine.answer import BodyReader, Events
from gateway.wire.engine.ask import EngineAsk, Limits, Neutraliser
from gateway.wire.engine.faults import refusal

ENDPOINTS = (Endpoint.CHAT, Endpoint.COMPLETION)
JSON: Headers = ((b"content-type", b"application/json"),)
EVENTS: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


class LoadedEngine(Protocol):
    """An engine with its model in memory. All methods block, and several threads may call them at the same time."""

    def chat(self, body: bytes, callback: Callback) -> None:
        """Answer a chat request. The callback gets each piece, and returns True to stop."""
        ...

    def complete(self, body: bytes, callback: Callback) -> None:
        """Answer a completion request in the same way."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def close(self) -> None:
        """Unload the model. No request may be running."""
        ...


class Serving(Struct, frozen=True):
    """What is known about a local backend before its model is loaded."""

    name: str
    """The name by which clients request the model."""
    window_tokens: int
    parallel: int
    queue: int
    ready_wait_s: float
    answer_tokens: int
    other_names: tuple[str, ...] = ()
    """Further names by which clients request the model, with an adapter."""
    control_tokens: tuple[str, ...] = ()
    """The control tokens that the engine parses. They are broken up in the texts of clients, so that the engine reads
    them as plain text.
    """
    logits: bool = False
    """Whether the engine returns the full distribution over the next token, which NBCE needs."""
    read_well_tokens: int = 0
    """The model reads a prompt of up to this many tokens well. 0: the model reads the whole window well."""
    has_grammar: bool = False
    """Whether the engine can enforce a JSON schema."""
    reads_tools: bool = True
    """Whether the model's chat template supports tools."""


class LocalModel:
    """Implements `ports.Backend`; a subclass adds `_load`. A model belongs to one event loop."""

    def __init__(self, name: str, serving: Serving) -> None:
        self.name = name
        self.window_tokens = serving.window_tokens
        self._serving = serving
        self._limits = Limits(
            choices=serving.parallel,
            answer_tokens=serving.answer_tokens,
            has_grammar=serving.has_grammar,
            reads_tools=serving.reads_tools,
        )
        self._neutral = Neutraliser(serving.control_tokens)
        self._pool = ThreadPoolExecutor(serving.parallel, thread_name_prefix=f"engine-{name}")
        self._engine: LoadedEngine | None = None
        self._failed = ""
        self._opened = asyncio.Event()
        self._running: set[Generation] = set()
        self._room = EngineRoom(serving.parallel, serving.window_tokens)
        self._waiting = 0

    def _load(self) -> LoadedEngine:
        """Load the engine. Runs on a worker thread."""
        raise NotImplementedError

    async def _call(self, loaded: LoadedEngine, ask: EngineAsk, exchange: Exchange, notes: list[Note]) -> Call:
        """Return the engine's method for a request. The method may add to `notes` until it has sent the answer's last
        piece.
        """
        return loaded.chat if ask.endpoint is Endpoint.CHAT else loaded.complete

    def _named(self, ask: EngineAsk, model: str) -> EngineAsk:
        """Return the request as the engine needs it for the model's name."""
        return ask

    async def open(self) -> None:
        """Load the model on a worker thread."""
        try:
            self._engine = await asyncio.to_thread(self._load)
        except Exception as error:
            self._failed = str(error)
            raise
        finally:
            self._opened.set()

    async def aclose(self) -> None:
        """Stop the running requests, then unload the model."""
        for generation in tuple(self._running):
            generation.cancel()
        await asyncio.to_thread(self._pool.shutdown)
        loaded, self._engine = self._engine, None
        if loaded is not None:
            await asyncio.to_thread(loaded.close)

    def models(self) -> Sequence[ModelCard]:
        serving = self._serving
        well = serving.read_well_tokens or serving.window_tokens
        return [
            ModelCard(name, ENDPOINTS, well, serving.logits, longest_tokens=serving.window_tokens)
            for name in (serving.name, *serving.other_names)
        ]

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens in `text`. The number is exact once the model is loaded, and a low estimate
        before that.

        The engine itself refuses inputs that are too long.
        """
        loaded = self._engine
        return loaded.count_tokens(text) if loaded is not None else len(text.encode()) // 4

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        endpoint = exchange.ask.endpoint
        if endpoint not in ENDPOINTS:
            raise NotFound(f"The model {self._serving.name!r} does not serve /v1/{endpoint}.", param="model")
        ask = self._named(engine.ask(encode.body(exchange, model), endpoint, self._limits, self._neutral), model)
        loaded = await self._ready()
        notes: list[Note] = [*ask.notes]
        call = await self._call(loaded, ask, exchange, notes)
        generation = await self._started(ask, loaded, call, exchange.windows)
        shown = exchange.ask.model if exchange.ask.model not in ("", "auto") else self._serving.name
        reply = Reply(200, EVENTS if ask.stream else JSON, backend=self.name, model=model, notes=notes)
        if ask.stream:
            # the first event is read here, so that a refusal still sets the status
            events = Events(ask, shown)
            first = await self._first(generation, events)
            reply.pieces = _Stream(generation, events, first)
        else:
            reply.body = await self._whole(generation, BodyReader(ask, shown))
        return reply

    async def _ready(self) -> LoadedEngine:
        try:
            if not self._opened.is_set():
                await asyncio.wait_for(self._opened.wait(), self._serving.ready_wait_s)
        except TimeoutError:
            raise NotReady(f"The model {self._serving.name!r} is still loading.", retry_after_s=5.0) from None
        if self._engine is None:
            raise BackendFailed(f"The model {self._serving.name!r} could not be loaded: {self._failed or 'closed'}.")
        return self._engine

    async def _started(self, ask: EngineAsk, loaded: LoadedEngine, call: Call, passages: Sequence[str]) -> Generation:
        """Wait for a slot and for cache tokens, then start the generation. Raises `LimitReached` if too many requests
        wait.
        """
        serving, room = self._serving, self._room
        if len(self._running) + self._waiting >= serving.parallel + serving.queue:
            raise LimitReached(
                f"The model {serving.name!r} is busy and {self._waiting} requests wait for it.",
                code="engine_busy",
                retry_after_s=2.0,
            )
        self._waiting += 1
        try:
            needed = await self._needed(ask, loaded, passages)
            await room.take(needed)
        finally:
            self._waiting -= 1
        try:
            generation = Generation(call, ask.body, self._pool, lambda: self._over(generation, needed))
        except RuntimeError as error:  # the pool is shut down
            room.give(needed)
            raise NotReady(f"The model {serving.name!r} is being unloaded.") from error
        self._running.add(generation)
        return generation

    async def _needed(self, ask: EngineAsk, loaded: LoadedEngine, passages: Sequence[str]) -> int:
        """Return the maximum number of tokens that the request can take in the engine's cache.

        `passages` are read in parallel, each with its own copy of the question and the answer.
        """
        # an upper bound: the JSON syntax has more tokens than the chat template adds
        prompt = await asyncio.to_thread(loaded.count_tokens, ask.body.decode())
        answers = ask.choices * ask.prompts
        if answers == 1:
            read = await asyncio.to_thread(lambda: sum(map(loaded.count_tokens, passages)))
            return min(read + (1 + len(passages)) * (prompt + ask.answer_tokens), self._room.tokens)
        together = min(answers, self._serving.parallel)
        needed = prompt * together // answers + together * ask.answer_tokens
        if needed > self._room.tokens:
            raise BadRequest(
                f"{answers} answers of up to {ask.answer_tokens} tokens do not fit together in this model's window of "
                f"{self._room.tokens} tokens. Lower 'max_tokens' or 'n'.",
                param="max_tokens",
            )
        return needed

    def _over(self, generation: Generation, needed: int) -> None:
        self._running.discard(generation)
        self._room.give(needed)

    async def _first(self, generation: Generation, events: Events) -> bytes:
        try:
            while (piece := await generation.next()) is not None:
                if event := events.event(piece):
                    return event
        except BaseException as error:
            raise _stopped(generation, error) from error
        return b""

    async def _whole(self, generation: Generation, body: BodyReader) -> bytes:
        try:
            while (piece := await generation.next()) is not None:
                body.add(piece)
        except BaseException as error:
            raise _stopped(generation, error) from error
        return body.whole()


def _stopped(generation: Generation, error: BaseException) -> BaseException:
    """Cancel a generation that failed before any of its answer was sent. Return the error to raise."""
    generation.cancel()
    return refusal(error) if isinstance(error, Exception) else error


class _Stream:
    """The body of a streamed reply. Closing it stops the engine, for example when the client disconnects.

    This is a class and not a generator, because `aclose` must always do its work. Closing a generator that was never
    started runs none of its code.
    """

    def __init__(self, generation: Generation, events: Events, first: bytes) -> None:
        self._generation = generation
        self._events = events
        self._next = first
        self._over = False

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            return await self._event()
        except RequestError:
            await self.aclose()
            raise
        except Exception as error:
            await self.aclose()
            raise BackendFailed(f"The engine broke off: {error}") from error

    async def _event(self) -> bytes:
        event, self._next = self._next, b""
        while not event:
            piece = await self._generation.next()
            if piece is None:
                self._over = True
                return self._events.end()
            event = self._events.event(piece)
        return event

    async def aclose(self) -> None:
        self._over = True
        self._generation.cancel()
