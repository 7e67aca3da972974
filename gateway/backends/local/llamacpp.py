"""llama.cpp inside this process: a GGUF model as a backend, with continuous batching.

What blocks runs on worker threads; what is OpenAI's JSON is in `wire/engine*.py`; how llama.cpp
is loaded is in `engine.py`.
"""

import asyncio
import importlib.util
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.backends.local import gguf
from gateway.backends.local.engine import Engine, EngineOptions
from gateway.backends.local.generation import Generation
from gateway.backends.local.room import Room
from gateway.errors import (
    BackendFailed,
    BadRequest,
    ConfigError,
    LimitReached,
    NotFound,
    NotReady,
    Problem,
    RequestError,
)
from gateway.exchange import Endpoint, Exchange
from gateway.ports import Headers, ModelCard, Reply
from gateway.registry import Kind
from gateway.resources import NoSuchResource, locate
from gateway.wire import encode, engine
from gateway.wire.engine import EngineAsk, Limits, Neutraliser
from gateway.wire.engine_answer import Body, Events, refusal

log = logging.getLogger("foreword.llamacpp")

BLOCK = 256  # llama.cpp rounds its cache up to whole blocks
ENDPOINTS = (Endpoint.CHAT, Endpoint.COMPLETION)
JSON: Headers = ((b"content-type", b"application/json"),)
EVENTS: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


class LlamaCppSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "llamacpp"`: a GGUF model, run in this process by llama.cpp."""

    name: str
    """What clients call the model."""
    model: str
    """The GGUF file: a path, or `package:name/file` inside an installed Python package."""
    context_tokens: int = 8192
    """The window of one request, and the room that all running requests share. A model trained for less
    gets less. 8192 tokens of the default model take 190 MB."""
    parallel: int = 4
    """How many answers are made at a time, as far as `context_tokens` holds them all."""
    queue: int = 32
    """How many requests may wait for a slot; past that they get 429."""
    threads: int = 1
    """Threads that compute. On a busy machine a second one slows all down, since each waits for the other."""
    answer_tokens: int = 512
    """How long an answer may get where the client sets no `max_tokens`."""
    chat_template: str = ""
    """A Jinja chat template to use instead of the model's own."""
    default_system: bool = False
    """Whether the model's own template may add its maker's system prompt where the client sent none."""
    prompt_cache_mb: int = 128
    """Memory for the prompts of finished requests, so that the next with the same start is quicker; 0: none."""
    ready_wait_s: float = 20.0
    """How long a request waits for the model to load before it gets 503."""


class LlamaCpp:
    """A local model. Satisfies `ports.Backend`; one event loop, `open` once, `aclose` at the end."""

    def __init__(self, name: str, settings: LlamaCppSettings, path: Path) -> None:
        """Reads the file's description, not the weights. Raises `gguf.NotAModel`."""
        self.name = name
        self._settings = settings
        self._path = path
        self._file = gguf.read(path)
        given = -(-settings.context_tokens // BLOCK) * BLOCK
        self.window_tokens = min(given, self._file.window_tokens or given)
        self._limits = Limits(choices=settings.parallel, answer_tokens=settings.answer_tokens)
        self._neutral = Neutraliser(self._file.control_tokens)
        self._pool = ThreadPoolExecutor(settings.parallel, thread_name_prefix=f"llamacpp-{name}")
        self._engine: Engine | None = None
        self._failed = ""
        self._opened = asyncio.Event()
        self._running: set[Generation] = set()
        self._room = Room(settings.parallel, self.window_tokens)
        self._waiting = 0

    async def open(self) -> None:
        """Load the model on a worker thread: about a second for the default one."""
        try:
            self._engine = await asyncio.to_thread(Engine, self._path, self._file, self._options())
        except Exception as error:
            self._failed = str(error)
            raise
        finally:
            self._opened.set()

    async def aclose(self) -> None:
        """Stop what runs, then unload."""
        for generation in tuple(self._running):
            generation.cancel()
        await asyncio.to_thread(self._pool.shutdown)
        loaded, self._engine = self._engine, None
        if loaded is not None:
            await asyncio.to_thread(loaded.close)

    def models(self) -> Sequence[ModelCard]:
        return [ModelCard(self._settings.name, ENDPOINTS, self.window_tokens)]

    def count_tokens(self, text: str) -> int:
        """Exact once the model is loaded. Before that a low guess: the engine has the last word on length."""
        loaded = self._engine
        return loaded.count_tokens(text) if loaded is not None else len(text.encode()) // 4

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        endpoint = exchange.ask.endpoint
        if endpoint not in ENDPOINTS:
            raise NotFound(f"The model {self._settings.name!r} does not serve /v1/{endpoint}.", param="model")
        ask = engine.ask(encode.body(exchange, model), endpoint, self._limits, self._neutral)
        generation = await self._started(ask, await self._ready())
        shown = exchange.ask.model if exchange.ask.model not in ("", "auto") else self._settings.name
        if ask.stream:
            # the first event is pulled here, so that a refusal is still a status
            events = Events(ask, shown)
            first = await self._first(generation, events)
            return Reply(200, EVENTS, pieces=_Stream(generation, events, first), backend=self.name, model=model)
        return Reply(200, JSON, await self._whole(generation, Body(ask, shown)), backend=self.name, model=model)

    async def _ready(self) -> Engine:
        try:
            if not self._opened.is_set():
                await asyncio.wait_for(self._opened.wait(), self._settings.ready_wait_s)
        except TimeoutError:
            raise NotReady(f"The model {self._settings.name!r} is still loading.", retry_after_s=5.0) from None
        if self._engine is None:
            raise BackendFailed(f"The model {self._settings.name!r} could not be loaded: {self._failed or 'closed'}.")
        return self._engine

    async def _started(self, ask: EngineAsk, loaded: Engine) -> Generation:
        """The generation, once there is room. Raises `LimitReached` when too many wait for it."""
        settings, room = self._settings, self._room
        if len(self._running) + self._waiting >= settings.parallel + settings.queue:
            raise LimitReached(
                f"The model {settings.name!r} is busy and {self._waiting} requests wait for it.",
                code="engine_busy",
                retry_after_s=2.0,
            )
        self._waiting += 1
        try:
            needed = await self._needed(ask, loaded)
            await room.take(needed)
        finally:
            self._waiting -= 1
        call = loaded.chat if ask.endpoint is Endpoint.CHAT else loaded.complete
        try:
            generation = Generation(call, ask.body, self._pool, lambda: self._over(generation, needed))
        except RuntimeError as error:  # the pool is shut down
            room.give(needed)
            raise NotReady(f"The model {self._settings.name!r} is being unloaded.") from error
        self._running.add(generation)
        return generation

    async def _needed(self, ask: EngineAsk, loaded: Engine) -> int:
        """How many tokens of the engine's cache the request may fill at the most."""
        # JSON's own signs count for more than the chat template's
        prompt = await asyncio.to_thread(loaded.count_tokens, ask.body.decode())
        answers = ask.choices * ask.prompts
        if answers == 1:
            return min(prompt + ask.answer_tokens, self._room.tokens)
        together = min(answers, self._settings.parallel)
        needed = prompt * together // answers + together * ask.answer_tokens
        if needed > self._room.tokens:
            raise BadRequest(
                f"{answers} answers of up to {ask.answer_tokens} tokens do not fit this model's window of "
                f"{self._room.tokens} tokens together. Lower 'max_tokens' or 'n'.",
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

    async def _whole(self, generation: Generation, body: Body) -> bytes:
        try:
            while (piece := await generation.next()) is not None:
                body.add(piece)
        except BaseException as error:
            raise _stopped(generation, error) from error
        return body.whole()

    def _options(self) -> EngineOptions:
        settings = self._settings
        return EngineOptions(
            context_tokens=self.window_tokens,
            parallel=settings.parallel,
            threads=settings.threads,
            chat_template=settings.chat_template,
            default_system=settings.default_system,
            prompt_cache_mb=settings.prompt_cache_mb,
        )


def _stopped(generation: Generation, error: BaseException) -> BaseException:
    """What to raise for an error before the first byte; the generation ends either way."""
    generation.cancel()
    return refusal(error) if isinstance(error, Exception) else error


class _Stream:
    """A reply's body. Closing it, as when the client leaves, stops the engine.

    Not a generator: closing one that was never started would run nothing.
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


def _check(settings: LlamaCppSettings, root: Path) -> Iterable[Problem]:
    for field in ("context_tokens", "parallel", "threads", "answer_tokens"):
        if getattr(settings, field) < 1:
            yield Problem(field, "must be at least 1")
    if importlib.util.find_spec("xllamacpp") is None:
        yield Problem("kind", "needs the package xllamacpp", 'Run: pip install "foreword[local]"')
    remedy = "Name a GGUF file: a path, or package:name/file.gguf inside an installed package."
    try:
        path = locate(settings.model, root)
        whole = path.is_file() and gguf.is_model(path)
    except NoSuchResource as error:
        yield Problem("model", str(error), remedy)
    else:
        if not whole:
            yield Problem("model", f"{path} is not a GGUF model", remedy)


def _build(name: str, settings: LlamaCppSettings, parts: Any) -> LlamaCpp:
    """`parts.settings.root` is the folder that a relative model path starts from."""
    path = locate(settings.model, parts.settings.root)
    try:
        return LlamaCpp(name, settings, path)
    except gguf.NotAModel as error:
        where = f"[backends.{name}] model"
        raise ConfigError([Problem(where, str(error), "Fetch the model file again.")]) from error


KIND = Kind(LlamaCppSettings, _build, _check)
