"""An upstream's answer of given pieces, without a connection."""

from collections.abc import Iterable


class ScriptedAnswer:
    """Gives its pieces one by one, then b""."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    async def piece(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        pass
