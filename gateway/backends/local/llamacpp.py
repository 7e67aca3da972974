"""llama.cpp inside this process: a GGUF model as a backend, with continuous batching.

`serve.py` queues and runs the requests; `engine.py` loads llama.cpp.
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.backends.local import gguf
from gateway.backends.local.engine import LlamaEngine, LlamaOptions
from gateway.backends.local.serve import LocalModel, Serving
from gateway.errors import ConfigError, Problem
from gateway.registry import AdapterKind
from gateway.resources import NoSuchResource, locate

BLOCK = 256  # llama.cpp rounds its cache up to whole blocks


class LlamaCppSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x] kind = "llamacpp"`: a GGUF model, run in this process by llama.cpp."""

    name: str
    """What clients call the model."""
    model: str
    """The GGUF file: a path, or `package:name/file` inside an installed Python package."""
    context_tokens: int = 8192
    """The window of one request, and also the total for all running requests. A model that was trained for less
    gets less. 8192 tokens of the default model take 190 MB."""
    parallel: int = 4
    """How many answers are generated at a time, as long as they fit `context_tokens` together."""
    queue: int = 32
    """How many requests may wait for a slot; further ones get 429."""
    threads: int = 1
    """Threads that compute. On a busy machine a second thread makes answers slower, since each waits for the other."""
    answer_tokens: int = 512
    """The longest answer in tokens if the client sets no `max_tokens`."""
    chat_template: str = ""
    """A Jinja chat template to use instead of the model's own."""
    default_system: bool = False
    """Whether the model's own template may add its maker's system prompt if the client sent none."""
    prompt_cache_mb: int = 128
    """Memory for the prompts of finished requests: the next prompt with the same start is read faster. 0: none."""
    ready_wait_s: float = 20.0
    """How long a request waits for the model to load before it gets 503."""


class LlamaCpp(LocalModel):
    """A GGUF model, run by llama.cpp."""

    def __init__(self, name: str, settings: LlamaCppSettings, path: Path) -> None:
        """Reads the file's metadata, not the weights. Raises `gguf.NotAModel`."""
        self._settings = settings
        self._path = path
        self._file = gguf.read(path)
        given = -(-settings.context_tokens // BLOCK) * BLOCK
        serving = Serving(
            name=settings.name,
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
        """Load the weights. Takes about a second for the default model."""
        return LlamaEngine(self._path, self._file, self._options())

    def _options(self) -> LlamaOptions:
        settings = self._settings
        return LlamaOptions(
            context_tokens=self.window_tokens,
            parallel=settings.parallel,
            threads=settings.threads,
            chat_template=settings.chat_template,
            default_system=settings.default_system,
            prompt_cache_mb=settings.prompt_cache_mb,
        )


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
    """A relative model path starts at `parts.settings.root`."""
    path = locate(settings.model, parts.settings.root)
    try:
        return LlamaCpp(name, settings, path)
    except gguf.NotAModel as error:
        where = f"[backends.{name}] model"
        raise ConfigError([Problem(where, str(error), "Fetch the model file again.")]) from error


KIND = AdapterKind(LlamaCppSettings, _build, _check)
