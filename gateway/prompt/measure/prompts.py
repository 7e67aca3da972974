"""Prompts that come with the package. They measure a template before there is any traffic.

Each answer can be checked, by a right answer or by a limit that the prompt states. Intents and languages are mixed
evenly, so that a small budget still covers all of them.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = Path(__file__).parent / "prompts.jsonl"


class MeasuredPrompt(Struct, frozen=True):
    """One prompt. If `right` is "", answers are checked by the limits that the prompt states."""

    id: str
    language: str
    intent: str
    prompt: str
    right: str = ""
    compare: str = "text"
    """The way to compare an answer with `right`, one of `pairs.COMPARISONS`."""


@cache
def shipped_prompts() -> Sequence[MeasuredPrompt]:
    """Return the prompts that come with the package."""
    decoder = msgspec.json.Decoder(MeasuredPrompt)
    return tuple(decoder.decode(line) for line in FILE.read_bytes().splitlines())
