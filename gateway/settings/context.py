"""The table `[context]`: collections, retrieval, and prompts longer than the window."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.settings.numbers import Count, Seconds


class Context(Struct, frozen=True, forbid_unknown_fields=True):
    """`[context]`: collections, retrieval, and fitting prompts into windows."""

    chunk_tokens: Annotated[int, Meta(ge=16)] = 200
    """The longest chunk of a document, in tokens. A chunk is never longer than the embedding model's window."""
    max_file_mb: Annotated[int, Meta(ge=1, le=64)] = 64
    """The largest file that can be uploaded. A larger file is refused with 413."""
    longest_ingest_s: Seconds = 3600.0
    """The time limit for reading and adding one attached file. A file that takes longer fails."""
    ocr: tuple[str, ...] = ()
    """The languages of text in scanned pages and pictures, as Tesseract names them, such as `["eng", "deu"]`. If
    set, pages of PDFs without text and pictures are recognised. Needs the program tesseract. Empty: not recognised."""
    ocr_s: Seconds = 300.0
    """The time limit for recognising the pictures of one file. Pages for which no time is left are reported."""
    top_k: Count = 30
    """The most chunks that a request gets. Usually `budget_tokens` is reached first: if there are many chunks, only
    their best sentences are used."""
    budget_tokens: Count = 1000
    """The most tokens that all chunks of a request have together."""
    rerank: tuple[str, ...] = ("*",)
    """The collections, by name or id, whose chunks `[reranker]` sorts; `*`: all."""
    relevance: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """The lowest estimated relevance of a collection to a question. Below it, the question gets no chunks of the
    collection, unless the request requires chunks. 0: every question gets the nearest chunks."""
    floor: Annotated[float, Meta(ge=-1, le=1)] = -1.0
    """Chunks with a lower score are not used."""
    budget_ms: Count = 2000
    """The time limit of retrieval. If retrieval takes longer, the request goes on without chunks, and a note says
    so."""
    strategy: Literal["auto", "off"] = "auto"
    """What to do with a prompt that is longer than the model's window. `auto`: search the prompt or read it in parts,
    depending on the task. `off`: drop the oldest turns of the conversation, unless the request names a strategy."""
    note_tokens: Annotated[int, Meta(ge=16)] = 200
    """The longest notes on one part of a long text, in tokens."""
    gather_tokens: Annotated[int, Meta(ge=16)] = 1500
    """The longest result of reading one part, in tokens, for a task that needs the whole text, such as a list. At most
    a quarter of the window is used. A part with a longer result is read again in two halves."""
    piece_tokens: Annotated[int, Meta(ge=64)] = 1500
    """The longest piece, in tokens, of a long text that is translated, corrected or converted piece by piece."""
    most_calls: Count = 64
    """The most calls for reading a text in parts. A text that needs more calls is not read in parts."""
    most_tokens: Count = 400_000
    """The most tokens for reading a text in parts, prompts and answers together."""
    parallel_calls: Count = 4
    """How many parts are read at the same time, for all requests together."""
