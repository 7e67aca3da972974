"""The events of OpenAI's realtime API, as far as the gateway reads them: the tokens that were used, and errors."""

from typing import Any

import msgspec

from gateway.errors import RequestError
from gateway.wire.loose_objects import object_of
from gateway.wire.references import loose

USAGE = '"usage"'
"""A text in every event that tells what was used: `response.done`, and those of finished transcriptions."""
USED = ("input_tokens", "output_tokens")
_encode = msgspec.json.Encoder().encode


class UsageSum:
    """The tokens of all answers of a session."""

    def __init__(self) -> None:
        self._used = dict.fromkeys(USED, 0)
        self._cached = 0
        self._is_told = False

    def read(self, event: str) -> None:
        """Add what an event tells. Call it only for events with `USAGE`."""
        value = loose(event.encode())
        fields = object_of(value)
        usage = object_of(object_of(fields.get("response")).get("usage")) or object_of(fields.get("usage"))
        numbers = {name: _count(usage.get(name)) for name in USED}
        if not any(numbers.values()):
            return
        self._is_told = True
        for name, number in numbers.items():
            self._used[name] += number
        self._cached += _count(object_of(usage.get("input_token_details")).get("cached_tokens"))

    def body(self) -> bytes:
        """Return the sum as the body of a response, whose usage the records read. Returns b"" if no event told it."""
        if not self._is_told:
            return b""
        details = {"cached_tokens": self._cached}
        return _encode({"object": "response", "usage": {**self._used, "input_tokens_details": details}})


def error_event(error: RequestError) -> str:
    """Return the event `error`. The connection goes on after it."""
    about = {"type": error.type, "code": error.code, "message": error.message, "param": error.param}
    return _encode({"type": "error", "error": about}).decode()


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
