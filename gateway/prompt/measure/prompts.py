"""Prompts of our own to measure a template with before there is traffic.

Each states what its answer can be checked by: a right answer, or a limit in its own words. They are in the order
of the file, in which every first part has all intents and both languages, so that a budget cuts all alike.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = Path(__file__).parent / "prompts.jsonl"


class MeasuredPrompt(Struct, frozen=True):
    """One prompt. `right` is its right answer, "" where the prompt's own limits are what is checked."""

    id: str
    language: str
    intent: str
    prompt: str
    right: str = ""
    compare: str = "text"
    """How an answer is compared with `right`: see `pairs.COMPARISONS`."""


@cache
def shipped_prompts() -> Sequence[MeasuredPrompt]:
    """The prompts of the package."""
    decoder = msgspec.json.Decoder(MeasuredPrompt)
    return tuple(decoder.decode(line) for line in FILE.read_bytes().splitlines())
