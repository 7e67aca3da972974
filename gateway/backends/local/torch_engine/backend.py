"""Backend kind `torch`: a transformers model in this process, with access to logits and positions.

This kind is slower than llama.cpp. Use it for NBCE, for stretched positions, and for a model in training.
"""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Endpoint, Mode, Nbce
from gateway.backends.local import profile
from gateway.backends.local.generation import Call
from gateway.backends.local.gguf import metadata
from gateway.backends.local.serve import LoadedEngine, LocalModel, Serving
from gateway.backends.local.torch_engine.positions import LongContext, Positions
from gateway.context.embedding.batcher import Batcher
from gateway.errors import ConfigError, Problem
from gateway.exchange import Exchange, Note
from gateway.registry import AdapterKind
from gateway.resources import NoSuchResource, locate
from gateway.wire.engine.ask import EngineAsk

if TYPE_CHECKING:
    from gateway.backends.local.torch_engine.engine import TorchEngine

NEEDED = ("torch", "transformers", "accelerate", "gguf")
REMEDY = "Name a folder with config.json and safetensors, a GGUF file, or package:name/file.gguf inside a package."


class TorchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "torch"`: a transformers model in this process, with a decode loop of our own."""

    name: str
    """The name by which clients request the model."""
    model: str
    """A folder with safetensors, a GGUF file, or `package:name/file` inside an installed Python package."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """`auto`: bfloat16 if this processor has instructions for it, else float32."""
    cache: Literal["model", "int8"] = "model"
    """The format of the cache of keys and values. `model`: the type in which the model computes. `int8`: half the
    memory of bfloat16, and a quarter of the memory of float32.
    """
    long_context: LongContext = "auto"
    """How positions are stretched for requests beyond the trained window. `off`: such requests are refused."""
    max_window_tokens: int = 0
    """The longest request in tokens. 0: the usable window that `foreword engines probe-context` measured. If nothing
    was measured, the trained window is used.
    """
    passages_mb: int = 512
    """Memory for passages that NBCE has read, so that the next question about them is answered faster. 0: none."""
    rows_mb: int = 1536
    """Memory for the passages of one NBCE request. If the passages need more, the least relevant ones are left out.
    Reading the passages takes up to half of this memory in addition.
    """
    parallel: int = 4
    """The maximum number of answers that are generated at the same time. Together their tokens must fit into one
    window.
    """
    queue: int = 32
    """How many requests may wait for a slot. Further ones get 429."""
    threads: int = 1
    """The number of threads that compute. On a busy machine a second thread makes answers slower, since the threads
    wait for each other.
    """
    answer_tokens: int = 512
    """The longest answer in tokens if the client sets no `max_tokens`."""
    chat_template: str = ""
    """A Jinja chat template to use instead of the model's own."""
    default_system: bool = False
    """Whether the model's own chat template may add its default system prompt to a request without a system prompt."""
    ready_wait_s: float = 60.0
    """How long a request waits for the model to load before it gets 503. The first load of a GGUF file takes half a
    minute."""


@runtime_checkable
class Mixing(Protocol):
    """An engine that can read passages in parallel."""

    def mix(self, passages: Sequence[str], mixed: Nbce, tell: Callable[[Struct], None]) -> Call: ...


@runtime_checkable
class Stretching(Protocol):
    """An engine that can choose positions for a given length."""

    def reaching(self, tokens: int) -> LoadedEngine: ...


class TorchModel(LocalModel):
    """A transformers model."""

    def __init__(
        self, name: str, settings: TorchSettings, path: Path, data: Path, embedder: Batcher | None = None
    ) -> None:
        """Read the model's metadata, without the weights.

        `data` is the gateway's data folder. `embedder` computes how relevant a passage is to a question.
        """
        self._embedder = embedder
        self._settings = settings
        self._path = path
        self._keep = data / "engines"
        trained, longrope = described(path)
        known = profile.read(data, name)
        window = settings.max_window_tokens or known.usable(settings.long_context) or trained
        if settings.long_context == "off":
            window = min(window, trained)
        self.positions = Positions(trained, window, settings.long_context, known.best, longrope)
        serving = Serving(
            name=settings.name,
            window_tokens=window,
            parallel=settings.parallel,
            queue=settings.queue,
            ready_wait_s=settings.ready_wait_s,
            answer_tokens=settings.answer_tokens,
            logits=True,
            read_well_tokens=min(known.well_tokens or trained, trained, window),
        )
        super().__init__(name, serving)

    async def _call(self, loaded: LoadedEngine, ask: EngineAsk, exchange: Exchange, notes: list[Note]) -> Call:
        passages = exchange.windows
        if not passages:
            return await super()._call(self._reaching(loaded, ask, exchange, notes), ask, exchange, notes)
        mixed = exchange.ask.controls.nbce
        question = next((turn.text for turn in reversed(exchange.prompt) if turn.role == "user"), "")
        if ask.endpoint is Endpoint.COMPLETION:
            question = asked_last(question)
        if self._embedder is not None and not mixed.scores and mixed.pooling in ("", "expert"):
            mixed = replace(mixed, scores=await relevance(self._embedder, question, passages))
        assert isinstance(loaded, Mixing)

        def tell(report: Struct) -> None:
            notes[:] = [Note("nbce", "mixed", data=msgspec.to_builtins(report))]

        return loaded.mix(passages, mixed, tell)

    def _reaching(self, loaded: LoadedEngine, ask: EngineAsk, exchange: Exchange, notes: list[Note]) -> LoadedEngine:
        """Return an engine with positions for the planned length of the prompt. All calls of the exchange use the same
        positions.
        """
        plan = exchange.plan
        if not plan.reach_tokens or not isinstance(loaded, Stretching):
            return loaded
        tokens = max(plan.reach_tokens, plan.prompt_tokens + ask.answer_tokens)
        if exchange.mode is not Mode.OFF:
            variant = self.positions.variant(tokens)
            notes[:] = [Note("positions", variant.method, data={**msgspec.to_builtins(variant), "tokens": tokens})]
        return loaded.reaching(tokens)

    @property
    def threads(self) -> int:
        return self._settings.threads

    def load(self) -> "TorchEngine":
        """Load the engine without the backend, to measure it. This call blocks."""
        # imported here, since torch and transformers take seconds to import
        from gateway.backends.local.torch_engine.engine import TorchEngine, TorchOptions

        settings = self._settings
        options = TorchOptions(
            self._keep,
            self.positions,
            settings.threads,
            settings.dtype,
            settings.chat_template,
            settings.default_system,
            passages_bytes=settings.passages_mb << 20,
            rows_bytes=settings.rows_mb << 20,
            int8_cache=settings.cache == "int8",
        )
        return TorchEngine(self._path, options)

    def _load(self) -> LoadedEngine:
        return self.load()


def asked_last(prompt: str) -> str:
    """Return the last question of a raw prompt, or the whole prompt if it has no question.

    The text after the question is left out. It may be the start of an answer, which would distort a comparison of
    meanings.
    """
    asking = [line for line in prompt.splitlines() if "?" in line or "？" in line]
    if not asking:
        return prompt
    line = asking[-1]
    return line[: max(line.rfind("?"), line.rfind("？")) + 1].strip()


async def relevance(embedder: Batcher, question: str, passages: Sequence[str]) -> tuple[float, ...]:
    """Return the cosine similarity of each passage to the question. Negative values become 0."""
    vectors = await embedder.embed([question, *passages])
    return tuple((vectors[1:] @ vectors[0]).clip(0, 1).tolist())


def described(path: Path) -> tuple[int, bool]:
    """Return the trained window in tokens, and whether the model's config has LongRoPE. Raises `NotAModel`."""
    if path.is_file():
        file = metadata.read(path)
        return file.window_tokens, False
    try:
        config: dict[str, Any] = msgspec.json.decode((path / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise metadata.NotAModel(f"{path} has no readable config.json: {error}") from error
    rope: dict[str, Any] = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type"))
    window = int(config.get("max_position_embeddings", 0))
    if kind in ("yarn", "longrope"):
        original = rope.get("original_max_position_embeddings", config.get("original_max_position_embeddings"))
        window = int(original or window)
    return window, kind == "longrope"


def _check(settings: TorchSettings, root: Path) -> Iterable[Problem]:
    for field in ("parallel", "threads", "answer_tokens"):
        if getattr(settings, field) < 1:
            yield Problem(field, "must be at least 1")
    missing = [package for package in NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        yield Problem("kind", f"needs the packages {', '.join(missing)}", 'Run: pip install "foreword[torch]"')
    try:
        path = locate(settings.model, root)
    except NoSuchResource as error:
        yield Problem("model", str(error), REMEDY)
        return
    if path.is_file() and not metadata.is_model(path):
        yield Problem("model", f"{path} is not a GGUF model", REMEDY)
    elif path.is_dir() and not (path / "config.json").is_file():
        yield Problem("model", f"{path} holds no config.json", REMEDY)


def _build(name: str, settings: TorchSettings, parts: Any) -> TorchModel:
    """Build the backend. A relative model path starts at `parts.settings.root`."""
    path = locate(settings.model, parts.settings.root)
    try:
        return TorchModel(name, settings, path, parts.settings.data_folder, parts.embedder)
    except metadata.NotAModel as error:
        where = f"[backends.{name}] model"
        raise ConfigError([Problem(where, str(error), "Fetch the model's files again.")]) from error


KIND = AdapterKind(TorchSettings, _build, _check)
