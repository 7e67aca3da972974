"""Prompts of our own to measure a template with before there is traffic.

The answer to each can be checked: by a right answer, or by a limit that the prompt states. The file mixes the intents
and languages evenly, so that a small budget still covers all of them.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = Path(__file__).parent / "prompts.jsonl"


class MeasuredPrompt(Struct, frozen=True):
    """One prompt. `right` is its right answer; "" if the limits that the prompt states are checked instead."""

    id: str
    language: str
    intent: str
    prompt: str
    right: str = ""
    compare: str = "text"
    """How an answer is compared with `right`: see `pairs.COMPARISONS`."""


@cache
def shipped_prompts() -> Sequence[MeasuredPrompt]:
    """The prompts that come with the package."""
    decoder = msgspec.json.Decoder(MeasuredPrompt)
    return tuple(decoder.decode(line) for line in FILE.read_bytes().splitlines())
