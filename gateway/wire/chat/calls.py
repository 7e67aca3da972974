"""Assigns each streamed part of a tool call to the call that the part belongs to.

Parts are matched by id, else by index, else by order. Some servers omit the index, give every call index 0, or send a
new id with each chunk of one call.
"""

from gateway.wire.chat.completion import CallPart


class _OpenCall:
    __slots__ = ("id", "name")

    def __init__(self, id: str | None, name: str | None) -> None:
        self.id, self.name = id, name


class CallSorter:
    """Numbers the tool calls of one answer from 0, in the order in which they start."""

    def __init__(self) -> None:
        self._calls: list[_OpenCall] = []
        self._by_id: dict[str, int] = {}
        self._by_index: dict[int, int] = {}

    def number(self, part: CallPart) -> int:
        """Return the number of the call to which this part belongs. A part that matches no call starts a new call."""
        name = part.function.name if part.function else None
        number = self._match(part, name)
        if number is None:
            return self.begin(part)
        call = self._calls[number]
        call.name = call.name or name
        if part.id:
            call.id = call.id or part.id
            self._by_id[part.id] = number
        return number

    def begin(self, part: CallPart) -> int:
        """Start a new call and return its number. Every entry of a whole message starts a new call."""
        number = len(self._calls)
        self._calls.append(_OpenCall(part.id, part.function.name if part.function else None))
        if part.id:
            self._by_id[part.id] = number
        if part.index is not None:
            self._by_index[part.index] = number
        return number

    def _match(self, part: CallPart, name: str | None) -> int | None:
        if part.id and part.id in self._by_id:
            return self._by_id[part.id]
        number = len(self._calls) - 1 if part.index is None else self._by_index.get(part.index, -1)
        if number < 0:
            return None
        call = self._calls[number]
        # a part that continues a call has no function name or the same function name
        opens = bool(name) and (bool(part.id and call.id) or (part.index is None) or (call.name or name) != name)
        return None if opens and call.name else number
