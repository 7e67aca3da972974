"""A model loaded by llama.cpp. Only this module uses the library xllamacpp.

The library always opens a server port. Here the port is a Unix socket in a private folder, protected by a random key.
The gateway uses the port only for the tokenizer.
"""

import contextlib
import gc
import logging
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.backends.local import signals
from gateway.backends.local.chat_template import CannotChange, without_default_system
from gateway.backends.local.generation import Callback
from gateway.backends.local.gguf.metadata import ModelFile
from gateway.backends.local.tokens import SocketTokenizer

log = logging.getLogger("foreword.llamacpp")

ERRORS_ONLY = 1
PROMPT_BATCH = 128
"""The prompt tokens that are read in one step. 256 are read 2 % faster, but the other answers wait twice as long for
their next token (`benchmarks/engine_batches.py`).
"""
PROGRESS = b'"prompt_progress":{'
"""The bytes that identify a progress report on reading the prompt. Generated text cannot contain these bytes, since its
quotes are escaped.
"""


class LlamaOptions(Struct, frozen=True):
    """The options for loading a model; `LlamaCppSettings` describes them."""

    context_tokens: int = 8192
    parallel: int = 4
    threads: int = 1
    chat_template: str = ""
    default_system: bool = False
    prompt_cache_mb: int = 128
    int8_cache: bool = False
    batch_tokens: int = PROMPT_BATCH
    reuse_tokens: int = 0
    speculation: str = "off"
    draft: Path | None = None
    adapters: tuple[Path, ...] = ()
    chosen_adapters: tuple[Path, ...] = ()
    """Adapters that only the requests use that `with_adapters` prepared. They are numbered after `adapters`."""


class LlamaEngine:
    """A loaded model. The constructor blocks while the model loads.

    `chat` and `complete` block too, but release the interpreter's lock. Several threads may call them at the same time.
    """

    def __init__(self, path: Path, file: ModelFile, options: LlamaOptions) -> None:
        import xllamacpp

        self._folder = Path(tempfile.mkdtemp(prefix="foreword-"))  # mode 0700
        secret = secrets.token_urlsafe(24)
        socket = str(self._folder / "llama.sock")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.hostnames = [socket]
        params.api_keys = [secret]
        _configure(params, file, options)
        try:
            with signals.kept_handlers():
                self._server: Any = xllamacpp.Server(params)
        except RuntimeError as error:
            self._remove_folder()
            raise RuntimeError(f"llama.cpp cannot load {path}; its reason is on the error output") from error
        # returns when the library's loop runs; unloading earlier would hang
        self._server.handle_metrics()
        self._tokenizer = SocketTokenizer(socket, secret)
        log.info("llama.cpp loaded", extra={"model": path.name, "instructions": instructions()})

    def chat(self, body: bytes, callback: Callback) -> None:
        """Answer a chat request. The callback gets each piece, and returns True to stop."""
        self._server.handle_chat_completions(_with_progress(body), _between_batches(callback))

    def complete(self, body: bytes, callback: Callback) -> None:
        """Answer a completion request in the same way."""
        self._server.handle_completions(_with_progress(body), _between_batches(callback))

    def count_tokens(self, text: str) -> int:
        return self._tokenizer.count(text)

    def close(self) -> None:
        """Unload the model. No request may be running."""
        self._server = None
        gc.collect()
        self._remove_folder()

    def _remove_folder(self) -> None:
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)


def instructions() -> str:
    """The processor's instruction sets that this build of llama.cpp uses, such as `AVX2 FMA`."""
    import xllamacpp

    listed = str(xllamacpp.get_system_info()).partition(":")[2].split("|")
    return " ".join(part.partition("=")[0].strip() for part in listed if part.partition("=")[2].strip() == "1")


def with_adapters(body: bytes, numbers: Sequence[int]) -> bytes:
    """Return the request body for an answer with exactly these adapters. The body must be a JSON object."""
    used = ",".join(f'{{"id":{number},"scale":1.0}}' for number in numbers)
    return _with_field(body, f'"lora":[{used}]'.encode())


def without_cache(body: bytes) -> bytes:
    """Return the request body for an answer that uses no earlier prompt.

    The library clears a prompt that was read with another adapter, but not for a request without an adapter.
    """
    return _with_field(body, b'"cache_prompt":false')


def _with_progress(body: bytes) -> bytes:
    """Return the request body with progress reports turned on. The body must be a JSON object. The engine then sends a
    report after each batch of the prompt.

    The engine checks whether the client has left only when the engine sends output. Without reports, the first output
    comes after the whole prompt is read.
    """
    return _with_field(body, b'"return_progress":true')


def _with_field(body: bytes, field: bytes) -> bytes:
    """Add a field at the end of a JSON object, without reading the object."""
    return body.rstrip()[:-1] + b"," + field + b"}"


def _between_batches(callback: Callback) -> Callback:
    """Wrap the callback, so that it gets an empty piece for each progress report."""
    return lambda piece: callback(b"" if PROGRESS in piece else piece)


def _configure(params: Any, file: ModelFile, options: LlamaOptions) -> None:
    params.n_ctx = options.context_tokens
    # between two batches, the engine notices clients that left and generates tokens for other requests
    params.n_batch = params.n_ubatch = options.batch_tokens
    params.n_parallel = options.parallel
    # all requests share one cache, so a long request can use the part that short requests leave free
    params.kv_unified = True
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.cache_ram_mib = options.prompt_cache_mb
    params.verbosity = ERRORS_ONLY
    params.fit_params = False
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_metrics = True
    params.n_threads_http = 2
    # an assistant's message at the end is a finished turn, as in OpenAI's API
    params.prefill_assistant = False
    params.chat_template = options.chat_template or _template(file, options)
    params.n_cache_reuse = options.reuse_tokens
    if options.int8_cache:
        _use_int8_cache(params)
    if options.chosen_adapters:
        # the library keeps prompts without noting the adapter that read them
        params.cache_ram_mib = 0
    params.lora_adapters = [
        *(_adapter(path, 1.0) for path in options.adapters),
        *(_adapter(path, 0.0) for path in options.chosen_adapters),
    ]
    _speculate(params, options)


def _use_int8_cache(params: Any) -> None:
    import xllamacpp

    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    # only the fused kernel reads values in int8
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED


def _adapter(path: Path, scale: float) -> Any:
    import xllamacpp

    return xllamacpp.CommonAdapterLoraInfo(str(path), scale)


def _speculate(params: Any, options: LlamaOptions) -> None:
    import xllamacpp

    kinds = xllamacpp.common_speculative_type
    if options.speculation == "ngram":
        params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE]
    elif options.draft is not None:
        params.speculative.types = [kinds.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
        params.speculative.draft.mparams.path = str(options.draft)


def _template(file: ModelFile, options: LlamaOptions) -> str:
    """Return the chat template to load, or "" for the model's own template."""
    if options.default_system or not file.chat_template:
        return ""
    try:
        return without_default_system(file.chat_template, bos=file.bos, eos=file.eos)
    except CannotChange as reason:
        log.warning("the model keeps its default system prompt: %s", reason)
        return ""
