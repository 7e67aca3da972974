"""An upstream's answer with given pieces, without a connection."""

from collections.abc import Iterable


class ScriptedAnswer:
    """Returns its pieces one by one, then b""."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    async def piece(self) -> bytes:
        return next(self._pieces, b"")

    def close(self) -> None:
        pass
