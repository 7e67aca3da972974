"""The table `[context]`: collections, retrieval, and prompts that are longer than the window."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.settings.numbers import Count, Seconds


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """`[context]`: collections, retrieval, and fitting prompts into windows."""

    chunk_tokens: Annotated[int, Meta(ge=16)] = 200
    """The longest chunk of a document; never longer than the embedding model's window."""
    max_file_mb: Annotated[int, Meta(ge=1, le=64)] = 64
    """A larger upload is refused with 413."""
    longest_ingest_s: Seconds = 3600.0
    """The time limit for adding one attached file, its reading included. A file that takes longer fails."""
    top_k: Count = 6
    """The most chunks that a request gets."""
    budget_tokens: Count = 800
    """The most tokens of chunks that a request gets."""
    rerank: tuple[str, ...] = ("*",)
    """The collections, by name or id, whose passages are sorted by `[reranker]`; `*`: all."""
    floor: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """Chunks with a lower score are not used. Left out: each collection has a learned floor."""
    budget_ms: Count = 2000
    """The time limit of retrieval. After it, the request goes on without chunks, with a note."""
    strategy: Literal["auto", "off"] = "auto"
    """How a prompt that is longer than its model's window is handled. `auto`: it is searched or read in parts,
    depending on the task. `off`: that is done only if the request names a strategy; otherwise the oldest turns of the
    conversation are left out."""
    note_tokens: Annotated[int, Meta(ge=16)] = 200
    """The most tokens of the notes on one part of a long text."""
    most_calls: Count = 64
    """The most calls for reading a text in parts. A text that needs more is not read in parts."""
    most_tokens: Count = 400_000
    """The most tokens, read and written, for reading a text in parts."""
    parallel_calls: Count = 4
    """The number of parts that are read at the same time, over all requests."""
