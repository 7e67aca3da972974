"""llama.cpp inside this process: a GGUF model as a backend, with continuous batching.

`serve.py` queues and runs the requests; `engine.py` loads llama.cpp.
"""

import importlib.util
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.backends.local import variants
from gateway.backends.local.engine import PROMPT_BATCH, LlamaEngine, LlamaOptions, with_adapters, without_cache
from gateway.backends.local.gguf import metadata
from gateway.backends.local.serve import LocalModel, Serving
from gateway.backends.local.stored import CannotStore, stored_copy
from gateway.backends.local.variants import AUTO, NoSuchVariant, StoredVariant
from gateway.errors import ConfigError, Problem
from gateway.registry import AdapterKind
from gateway.resources import NoSuchResource, locate
from gateway.wire.engine.ask import EngineAsk

log = logging.getLogger("foreword.llamacpp")

REMEDY = "Name a GGUF file: a path, or package:name/file.gguf inside an installed package."
BLOCK = 256  # llama.cpp rounds its cache up to whole blocks


class LlamaCppSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "llamacpp"`: a GGUF model, run in this process by llama.cpp."""

    name: str
    """The name by which clients request the model."""
    model: str = ""
    """The GGUF file: a path, or `package:name/file` inside an installed Python package."""
    variant: str = ""
    """A variant made by `foreword engines compress`, which is used in place of `model`. With `auto`, `model` must be
    set too. Among the variants of this model that raise the perplexity by at most `accepted_rise`, each start then uses
    the fastest. If there is no such variant, the model itself is used.
    """
    store: Literal["", "Q8_0"] = ""
    """`Q8_0`: at the first start, a copy of the model in this type is written into the data folder, and used from then
    on. It takes seconds and 8.5 bits a weight. llama.cpp reads prompts about twice as fast from it as from Q4_1, and
    rounding to 8 bits hardly changes a model. A variant is used as it is.
    """
    accepted_rise: Annotated[float, Meta(ge=0)] = 0.01
    """The rise of perplexity that `variant = "auto"` accepts: 0.01 is 1 %."""
    cache: Literal["auto", "f16", "q8_0"] = "auto"
    """The type of the cache of keys and values. `q8_0` takes about half the memory of `f16`. `auto` is the type that
    the variant's manifest names, or `f16` without a variant.
    """
    batch_tokens: Annotated[int, Meta(ge=32, le=4096)] = PROMPT_BATCH
    """How many tokens of a prompt are read in one step. Between two steps, other requests get their next token."""
    reuse_tokens: Annotated[int, Meta(ge=0)] = 0
    """A part of an earlier prompt can be reused even if the text before that part differs. This is the minimum length
    of such a part in tokens. 0: no such part is reused.
    """
    speculation: Literal["off", "ngram", "draft"] = "off"
    """How the next tokens are guessed. `ngram` guesses from the request's own text, `draft` with the model in `draft`.
    `off`: no guesses.
    """
    draft: str = ""
    """The GGUF file of a smaller model with the same vocabulary, for `speculation = "draft"`."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters in GGUF, which are added to the model when it is loaded."""
    adapter_models: dict[str, str] = {}
    """LoRA adapters in GGUF by the names of models: `{refiner = "refiner.gguf"}`. A request for such a name is answered
    with its adapter. All names share the model's weights in memory. `prompt_cache_mb` then has no effect, and requests
    for the model without an adapter read their whole prompt.
    """
    context_tokens: int = 8192
    """The longest request in tokens, prompt and answer together. All running requests together have the same limit. If
    the model was trained for a shorter window, that window is used. 8192 tokens of the default model take 190 MB.
    """
    parallel: int = 4
    """The maximum number of answers that are generated at the same time. Together they must fit into `context_tokens`.
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
    prompt_cache_mb: int = 128
    """Memory for the prompts of finished requests, so that a prompt with the same beginning is read faster. 0: none."""
    ready_wait_s: float = 20.0
    """How long a request waits for the model to load before it gets 503."""


class LlamaCpp(LocalModel):
    """A GGUF model, run by llama.cpp."""

    def __init__(
        self,
        name: str,
        settings: LlamaCppSettings,
        path: Path,
        variant: StoredVariant | None = None,
        root: Path = Path(),
        data: Path | None = None,
    ) -> None:
        """Read the metadata of the model file, without the weights. Raises `metadata.NotAModel`.

        `path` is the file of the model, or of the variant if there is one. Relative paths in the settings start at
        `root`. A copy of the model is stored in the data folder `data`.
        """
        self._settings = settings
        self._path = path
        self._variant = variant
        self._root = root
        self._data = data
        self._file = metadata.read(path)
        given = -(-settings.context_tokens // BLOCK) * BLOCK
        serving = Serving(
            name=settings.name,
            other_names=tuple(settings.adapter_models),
            window_tokens=min(given, self._file.window_tokens or given),
            parallel=settings.parallel,
            queue=settings.queue,
            ready_wait_s=settings.ready_wait_s,
            answer_tokens=settings.answer_tokens,
            control_tokens=self._file.control_tokens,
            has_grammar=True,
            reads_tools="tools" in (settings.chat_template or self._file.chat_template),
        )
        super().__init__(name, serving)

    def _load(self) -> LlamaEngine:
        """Load the weights, in about a second for the default model. Raises `NoSuchVariant` if the variant's file has
        changed.
        """
        if self._variant is not None:
            variants.check_digest(self._variant)
        return LlamaEngine(self._stored(), self._file, self._options())

    def _stored(self) -> Path:
        """Return the file to load: the copy that `store` asks for, or the model's own file if there is no copy."""
        if not self._settings.store or self._variant is not None or self._data is None:
            return self._path
        try:
            return stored_copy(self._path, self._data)
        except CannotStore as error:
            log.warning("%s; the model is served from %s", error, self._path)
            return self._path

    def _named(self, ask: EngineAsk, model: str) -> EngineAsk:
        names, always = list(self._settings.adapter_models), len(self._settings.adapters)
        if not names:
            return ask
        if model not in names:
            return replace(ask, body=without_cache(ask.body))
        return replace(ask, body=with_adapters(ask.body, [*range(always), always + names.index(model)]))

    def _options(self) -> LlamaOptions:
        settings = self._settings
        return LlamaOptions(
            context_tokens=self.window_tokens,
            parallel=settings.parallel,
            threads=settings.threads,
            chat_template=settings.chat_template,
            default_system=settings.default_system,
            prompt_cache_mb=settings.prompt_cache_mb,
            int8_cache=self._cache == "q8_0",
            batch_tokens=settings.batch_tokens,
            reuse_tokens=settings.reuse_tokens,
            speculation=settings.speculation,
            draft=locate(settings.draft, self._root) if settings.draft else None,
            adapters=tuple(locate(adapter, self._root) for adapter in settings.adapters),
            chosen_adapters=tuple(locate(adapter, self._root) for adapter in settings.adapter_models.values()),
        )

    @property
    def _cache(self) -> str:
        if self._settings.cache != "auto":
            return self._settings.cache
        return self._variant.manifest.cache if self._variant is not None else "f16"


def _check(settings: LlamaCppSettings, root: Path) -> Iterable[Problem]:
    for field in ("context_tokens", "parallel", "threads", "answer_tokens"):
        if getattr(settings, field) < 1:
            yield Problem(field, "must be at least 1")
    if importlib.util.find_spec("xllamacpp") is None:
        yield Problem("kind", "needs the package xllamacpp", 'Run: pip install "foreword[local]"')
    if bool(settings.model) == (settings.variant not in ("", AUTO)):
        yield Problem(
            "model", 'needs either `model`, alone or with `variant = "auto"`, or the name of a `variant`', REMEDY
        )
    if settings.store and not settings.model:
        yield Problem("store", "needs `model`; a variant is used as it is")
    if (settings.speculation == "draft") != bool(settings.draft):
        yield Problem("draft", 'and `speculation = "draft"` must be set together')
    files = {"model": settings.model, "draft": settings.draft}
    yield from (problem for field, file in files.items() if file for problem in _file_problems(field, file, root))
    for adapter in settings.adapters:
        yield from _file_problems("adapters", adapter, root)
    for name, adapter in settings.adapter_models.items():
        yield from _file_problems(f"adapter_models.{name}", adapter, root)
        if name == settings.name:
            yield Problem(f"adapter_models.{name}", "is the name of the model without an adapter", "Take another name.")


def _file_problems(field: str, file: str, root: Path) -> Iterable[Problem]:
    try:
        path = locate(file, root)
        if not (path.is_file() and metadata.is_model(path)):
            yield Problem(field, f"{path} is not a GGUF model", REMEDY)
    except NoSuchResource as error:
        yield Problem(field, str(error), REMEDY)


def _build(name: str, settings: LlamaCppSettings, parts: Any) -> LlamaCpp:
    """Build the backend. A relative model path starts at `parts.settings.root`; variants are in
    `parts.settings.data_folder`.
    """
    root, variant = parts.settings.root, None
    try:
        data = parts.settings.data_folder
        if settings.variant == AUTO:
            variant = variants.cheapest_variant(data, settings.model, settings.accepted_rise)
            log.info("variant chosen", extra={"variant": variant.manifest.name if variant else "none"})
        elif settings.variant:
            variant = variants.stored_variant(data, settings.variant)
        path = variant.model if variant else locate(settings.model, root)
        return LlamaCpp(name, settings, path, variant, root, data)
    except NoSuchVariant as error:
        where = f"[backends.{name}] variant"
        raise ConfigError([Problem(where, str(error), "Run: foreword engines list")]) from error
    except metadata.NotAModel as error:
        where = f"[backends.{name}] model"
        raise ConfigError([Problem(where, str(error), "Fetch the model file again.")]) from error


KIND = AdapterKind(LlamaCppSettings, _build, _check)
