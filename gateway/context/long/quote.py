"""What reading a long text in parts will cost: parts, levels, calls and tokens, all known before the first call.

With window W, what each prompt says besides the text t, and m tokens for each result: a part has
c = W - t - m tokens, and f = c / m results, a blank line between them, are merged by one call. The text is cut first,
which costs nothing, so that the number of parts is the real one.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from msgspec import Struct

from gateway.context.long.frames import JOIN_TOKENS, SOURCE_TOKENS
from gateway.exchange import Call

SMALLEST_PART = 64
"""A part must hold more than a few sentences, or reading it teaches nothing."""


class CannotRead(Exception):
    """The text cannot be read in parts; the message says why. `calls` are those that were made all the same."""

    def __init__(self, why: str, calls: Sequence[Call] = ()) -> None:
        super().__init__(why)
        self.calls = tuple(calls)


class WindowRoom(Struct, frozen=True):
    """The window, in tokens, and what of it is taken. `final` is what the last prompt has free for results."""

    window: int
    prompt: int
    result: int
    final: int


class Quote(Struct, frozen=True):
    """What a strategy will cost besides the call that answers, and at most a quarter more calls where some fail."""

    strategy: str
    part_tokens: int
    parts: int
    fan_in: int
    depth: int
    calls: int
    tokens_in: int
    tokens_out: int

    def data(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def part_tokens(room: WindowRoom) -> int:
    """How long a part may be. Raises `CannotRead`."""
    size = room.window - room.prompt - room.result
    if size < SMALLEST_PART:
        raise CannotRead(f"a window of {room.window} tokens leaves {size} for a part of the text")
    return size


def tree(parts: int, tokens: int, room: WindowRoom, *, fan_in: int = 0) -> Quote:
    """Map each part, then merge level by level until what is left fits the last prompt (`map-reduce`, `tree`).

    `fan_in` caps how many results one call merges; 0 takes as many as fit. Raises `CannotRead`.
    """
    size = part_tokens(room)
    fan = size // (room.result + JOIN_TOKENS)
    fan = min(fan, fan_in) if fan_in else fan
    last = room.final // (room.result + SOURCE_TOKENS)
    if fan < 2 or last < 1:
        raise CannotRead(f"results of {room.result} tokens are too long to be merged in {room.window}")
    calls, results, depth, tokens_in = parts, parts, 1, tokens + parts * room.prompt
    while results > last:
        tokens_in += results * (room.result + JOIN_TOKENS)
        results = ceil(results / fan)
        calls, depth = calls + results, depth + 1
        tokens_in += results * room.prompt
    return Quote("tree", size, parts, fan, depth, calls, tokens_in, calls * room.result)


def beside_notes(room: WindowRoom) -> WindowRoom:
    """The room of a call that reads the notes so far beside the part."""
    return WindowRoom(room.window, room.prompt + room.result, room.result, room.final)


def refine(parts: int, tokens: int, room: WindowRoom) -> Quote:
    """Notes that grow from part to part, one call each; `room` is `beside_notes`. Raises `CannotRead`."""
    size = part_tokens(room)
    if room.final < room.result + SOURCE_TOKENS:
        raise CannotRead(f"notes of {room.result} tokens do not fit the last prompt, which has {room.final} free")
    return Quote("refine", size, parts, 1, parts, parts, tokens + parts * room.prompt, parts * room.result)
