"""The cost of reading a long text in parts. Parts, levels, calls and tokens are known before the first call.

With a window of W tokens, t tokens in each prompt besides the text, and m tokens for a result, a part has c = W - t - m
tokens. One call merges f = c / m results, with a blank line between them. Cutting the text costs nothing and comes
first, so the number of parts is exact.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.long.frames import JOIN_TOKENS, SOURCE_TOKENS
from gateway.exchange import Call
from gateway.settings.context import Context

SMALLEST_PART = 64
"""The minimum size of a part in tokens. The result for only a few sentences would be useless."""


class CannotRead(Exception):
    """The text cannot be read in parts. The message gives the reason. `calls` are the calls that were made before the
    failure.
    """

    def __init__(self, why: str, calls: Sequence[Call] = ()) -> None:
        super().__init__(why)
        self.calls = tuple(calls)


class WindowRoom(Struct, frozen=True):
    """A window and its division, in tokens. `prompt` is the prompt without the text, and `result` is the limit of a
    result.

    `final` is the room for results in the last prompt.
    """

    window: int
    prompt: int
    result: int
    final: int


class Quote(Struct, frozen=True):
    """The cost of a strategy, without the last call, which answers the request.

    If `spare` is 0, second tries after failures can add up to a quarter of `calls`.
    """

    strategy: str
    part_tokens: int
    parts: int
    fan_in: int
    depth: int
    calls: int
    tokens_in: int
    tokens_out: int
    spare: int = 0
    """The calls among `calls` that are reserved for second tries and for parts that are read in halves."""

    def data(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


def with_spare(quote: Quote, room: WindowRoom, calls: int) -> Quote:
    """Return the quote with additional calls for second tries and for parts that are read in halves."""
    read = quote.tokens_in + calls * (quote.part_tokens + room.prompt)
    written = quote.tokens_out + calls * room.result
    return replace(quote, calls=quote.calls + calls, tokens_in=read, tokens_out=written, spare=calls)


def part_tokens(room: WindowRoom) -> int:
    """Return the maximum size of a part in tokens. Raises `CannotRead` if the window leaves too little."""
    size = room.window - room.prompt - room.result
    if size < SMALLEST_PART:
        raise CannotRead(f"a window of {room.window} tokens leaves {size} for a part of the text")
    return size


def tree(
    parts: int, tokens: int, room: WindowRoom, *, fan_in: int = 0, documents: Sequence[int] = (), strategy: str = "tree"
) -> Quote:
    """Return the cost of the strategies `tree` and `map-reduce`. Each part is read, and the results are merged level by
    level until they fit the last prompt.

    `fan_in` is the maximum number of results that one call merges; 0 means as many as fit. `documents` has the number
    of parts of each document. Documents are merged separately as long as one of them has several results. Raises
    `CannotRead`.
    """
    size = part_tokens(room)
    fan = size // (room.result + JOIN_TOKENS)
    fan = min(fan, fan_in) if fan_in else fan
    last = room.final // (room.result + SOURCE_TOKENS)
    if fan < 2 or last < 1:
        raise CannotRead(
            f"results of {room.result} tokens are too long to be merged in a window of {room.window} tokens"
        )
    calls, depth, tokens_in = parts, 1, tokens + parts * room.prompt
    results = list(documents) or [parts]
    while sum(results) > last:
        tokens_in += sum(results) * (room.result + JOIN_TOKENS)
        results = [sum(results)] if max(results) == 1 else results
        results = [ceil(one / fan) for one in results]
        calls, depth = calls + sum(results), depth + 1
        tokens_in += sum(results) * room.prompt
    return Quote(strategy, size, parts, fan, depth, calls, tokens_in, calls * room.result)


def beside_notes(room: WindowRoom) -> WindowRoom:
    """Return the room of a call that reads a part together with the notes on earlier parts."""
    return WindowRoom(room.window, room.prompt + room.result, room.result, room.final)


def refine(parts: int, tokens: int, room: WindowRoom) -> Quote:
    """Return the cost of the strategy `refine`, whose notes grow from part to part. Each part takes one call. Raises
    `CannotRead`.

    `room` is the result of `beside_notes`.
    """
    size = part_tokens(room)
    if room.final < room.result + SOURCE_TOKENS:
        raise CannotRead(f"notes of {room.result} tokens do not fit the last prompt, which has {room.final} free")
    return Quote("refine", size, parts, 1, parts, parts, tokens + parts * room.prompt, parts * room.result)


def check(quote: Quote, settings: Context) -> None:
    """Raise `CannotRead` if the strategy would cost more than the operator allows."""
    tokens = quote.tokens_in + quote.tokens_out
    if quote.calls > settings.most_calls:
        raise CannotRead(f"it would take {quote.calls} calls; [context] most_calls is {settings.most_calls}")
    if tokens > settings.most_tokens:
        raise CannotRead(f"it would take {tokens} tokens; [context] most_tokens is {settings.most_tokens}")
