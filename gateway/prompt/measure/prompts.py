"""Prompts that come with the package, for measuring a template before there is any traffic.

Each answer can be checked, either by a right answer or by a limit that the prompt states. Intents and languages
alternate, so a small budget still covers all of them.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = Path(__file__).parent / "prompts.jsonl"


class MeasuredPrompt(Struct, frozen=True):
    """One prompt for a measurement. If `right` is "", an answer is checked by the limits that the prompt states."""

    id: str
    language: str
    intent: str
    prompt: str
    right: str = ""
    compare: str = "text"
    """How an answer is compared with `right`: a key of `pairs.COMPARISONS`."""


@cache
def shipped_prompts() -> Sequence[MeasuredPrompt]:
    decoder = msgspec.json.Decoder(MeasuredPrompt)
    return tuple(decoder.decode(line) for line in FILE.read_bytes().splitlines())
