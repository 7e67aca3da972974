"""Calls C functions of llama.cpp that xllamacpp's Python API lacks: tokenization, and the logits of every token.

The library that xllamacpp loads contains these functions. The layouts of the structs may change with any version, so
they are checked before use.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline_jobs.errors import JobFailed

CHUNK = 128
"""The maximum number of tokens whose logits are in memory at the same time."""
CACHE_TYPES = {"f16": 1, "q8_0": 8}
FLASH_ON = 1
ERROR = 4
"""The number of the level "error" in llama.cpp's log."""

I32, U32, F32, PTR, FLAG = ctypes.c_int32, ctypes.c_uint32, ctypes.c_float, ctypes.c_void_p, ctypes.c_bool
LOGGER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, PTR)


class ModelParams(ctypes.Structure):
    _fields_ = (
        ("devices", PTR),
        ("tensor_buft_overrides", PTR),
        ("n_gpu_layers", I32),
        ("split_mode", I32),
        ("load_mode", I32),
        ("lazy_mode", I32),
        ("main_gpu", I32),
        ("tensor_split", PTR),
        ("progress_callback", PTR),
        ("progress_callback_user_data", PTR),
        ("kv_overrides", PTR),
        ("vocab_only", FLAG),
        ("check_tensors", FLAG),
        ("use_extra_bufts", FLAG),
        ("no_host", FLAG),
        ("no_alloc", FLAG),
        ("load_mtp", FLAG),
        ("spare", ctypes.c_char * 64),
    )


class ContextParams(ctypes.Structure):
    _fields_ = (
        ("n_ctx", U32),
        ("n_batch", U32),
        ("n_ubatch", U32),
        ("n_seq_max", U32),
        ("n_rs_seq", U32),
        ("n_outputs_max", U32),
        ("n_outputs_max_per_seq", U32),
        ("n_threads", I32),
        ("n_threads_batch", I32),
        ("ctx_type", I32),
        ("rope_scaling_type", I32),
        ("pooling_type", I32),
        ("attention_type", I32),
        ("flash_attn_type", I32),
        ("rope_freq_base", F32),
        ("rope_freq_scale", F32),
        ("yarn_ext_factor", F32),
        ("yarn_attn_factor", F32),
        ("yarn_beta_fast", F32),
        ("yarn_beta_slow", F32),
        ("yarn_orig_ctx", U32),
        ("defrag_thold", F32),
        ("cb_eval", PTR),
        ("cb_eval_user_data", PTR),
        ("type_k", I32),
        ("type_v", I32),
        ("moe_cache_size", ctypes.c_size_t),
        ("abort_callback", PTR),
        ("abort_callback_data", PTR),
        ("embeddings", FLAG),
        ("offload_kqv", FLAG),
        ("no_perf", FLAG),
        ("op_offload", FLAG),
        ("swa_full", FLAG),
        ("kv_unified", FLAG),
        ("samplers", PTR),
        ("n_samplers", ctypes.c_size_t),
        ("ctx_other", PTR),
        ("spare", ctypes.c_char * 64),
    )


class Batch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", I32),
        ("token", ctypes.POINTER(I32)),
        ("embd", PTR),
        ("pos", ctypes.POINTER(I32)),
        ("n_seq_id", ctypes.POINTER(I32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(I32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


RESULTS: dict[str, Any] = {
    "llama_model_default_params": ModelParams,
    "llama_context_default_params": ContextParams,
    "llama_model_load_from_file": PTR,
    "llama_init_from_model": PTR,
    "llama_model_get_vocab": PTR,
    "llama_get_memory": PTR,
    "llama_batch_init": Batch,
    "llama_get_logits": ctypes.POINTER(F32),
    "llama_vocab_get_add_bos": FLAG,
}


def _library() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise JobFailed('llama.cpp is not installed; run: pip install "foreword[local]"') from error
    path = next(Path(str(xllamacpp.__file__)).parent.glob("xllamacpp*.so"))
    library = ctypes.CDLL(str(path))
    for name, type in RESULTS.items():
        getattr(library, name).restype = type
    _prove(library)
    return library


def _prove(library: Any) -> None:
    """Raise `JobFailed` if the structs do not have the layout of the known version. Known default values reveal the
    layout."""
    context, model = library.llama_context_default_params(), library.llama_model_default_params()
    place = (context.n_ctx, context.n_batch, context.yarn_ext_factor, context.type_k, context.type_v)
    ends = (context.embeddings, context.offload_kqv, context.swa_full, model.n_gpu_layers, model.use_extra_bufts)
    if place != (512, 2048, -1.0, 1, 1) or ends != (False, True, True, -1, True):
        raise JobFailed("this version of xllamacpp has unknown struct layouts; install 2026.10.11549")


_reasons: list[str] = []


def _listen(level: int, line: bytes, _: Any) -> None:
    """Collect the errors in llama.cpp's log, to explain why a model was refused."""
    if level == ERROR:
        _reasons.append(line.decode(errors="replace").strip())


_LOG = LOGGER(_listen)
"""The log callback. llama.cpp keeps a pointer to the callback, so the callback must not be garbage-collected."""


class LoadedModel:
    """A model that llama.cpp has loaded into this process. The caller must call `close`."""

    def __init__(self, path: Path, *, vocabulary_only: bool = False) -> None:
        self._library = _library()
        self._library.llama_log_set(_LOG, None)
        params = self._library.llama_model_default_params()
        params.vocab_only = vocabulary_only
        self._model = PTR(self._library.llama_model_load_from_file(str(path).encode(), params))
        if self._model.value is None:
            raise JobFailed(f"llama.cpp refuses {path}: {_reasons[0] if _reasons else 'no reason given'}")
        self._vocabulary = PTR(self._library.llama_model_get_vocab(self._model))

    @property
    def vocabulary_size(self) -> int:
        return int(self._library.llama_vocab_n_tokens(self._vocabulary))

    @property
    def first_token(self) -> int | None:
        """The token that must start each text, or None if there is no such token."""
        if not self._library.llama_vocab_get_add_bos(self._vocabulary):
            return None
        return int(self._library.llama_vocab_bos(self._vocabulary))

    def tokens(self, text: str) -> list[int]:
        """Tokenize a text without adding a token at its start. Names of control tokens are treated as plain text."""
        data = text.encode()
        room = len(data) + 8
        into = (I32 * room)()
        count = self._library.llama_tokenize(self._vocabulary, data, len(data), into, room, FLAG(False), FLAG(False))
        if count < 0:
            raise JobFailed("llama.cpp cannot split this text into tokens")
        return list(into[:count])

    @contextmanager
    def context(self, tokens: int, *, threads: int = 1, rows: int = 1, cache: str = "f16") -> Iterator["LlamaContext"]:
        """Open a context for `rows` texts of up to `tokens` tokens each. `cache` is `f16` or `q8_0`."""
        params = self._library.llama_context_default_params()
        params.n_ctx, params.n_seq_max = tokens * rows, rows
        params.n_batch = params.n_ubatch = 512
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = CACHE_TYPES[cache]
        params.flash_attn_type = FLASH_ON
        context = PTR(self._library.llama_init_from_model(self._model, params))
        if context.value is None:
            raise JobFailed(f"llama.cpp cannot allocate a {cache} cache for {tokens * rows} tokens")
        try:
            yield LlamaContext(self._library, context, self.vocabulary_size)
        finally:
            self._library.llama_free(context)

    def close(self) -> None:
        self._library.llama_model_free(self._model)


class LlamaContext:
    """A KV cache of llama.cpp, and the logits of the last `read`."""

    def __init__(self, library: Any, context: Any, vocabulary: int) -> None:
        self._library, self._context, self._vocabulary = library, context, vocabulary

    def clear(self) -> None:
        self._library.llama_memory_clear(PTR(self._library.llama_get_memory(self._context)), FLAG(True))

    def read(self, tokens: Sequence[int], start: int, *, rows: int = 1, logits: bool = True) -> NDArray[np.float32]:
        """Read `tokens` at position `start` into each of `rows` texts.

        If `logits` is true, returns the logits [tokens, vocabulary] of every token of every text. Otherwise, returns
        the logits of the last token of each text. The array is valid until the next call.
        """
        count = len(tokens) * rows
        batch = self._library.llama_batch_init(count, 0, 1)
        outputs = 0
        for place in range(count):
            row, at = divmod(place, len(tokens))
            batch.token[place], batch.pos[place] = tokens[at], start + at
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, row
            batch.logits[place] = logits or at == len(tokens) - 1
            outputs += batch.logits[place]
        batch.n_tokens = count
        failed = self._library.llama_decode(self._context, batch)
        self._library.llama_batch_free(batch)
        if failed:
            raise JobFailed(f"llama.cpp failed with code {failed} while it read {count} tokens")
        return np.ctypeslib.as_array(self._library.llama_get_logits(self._context), (outputs, self._vocabulary))


def losses(context: LlamaContext, window: Sequence[int]) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each token of a window, except the first token."""
    context.clear()
    each = []
    for start in range(0, len(window) - 1, CHUNK):
        part = window[start : min(start + CHUNK, len(window) - 1)]
        logits = context.read(part, start).astype(np.float64)
        highest = logits.max(1)
        whole = highest + np.log(np.exp(logits - highest[:, None]).sum(1))
        following = np.asarray(window[start + 1 : start + 1 + len(part)])
        each.append(whole - logits[np.arange(len(part)), following])
    return np.concatenate(each)
