"""Keeps the state of each part of the gateway that loads after the start."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

log = logging.getLogger("foreword.ready")

LOADING, READY = "loading", "ready"


class Readiness:
    """The state of each part: `loading`, `ready`, or `failed:` with a reason."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.draining = False
        """Whether the gateway is shutting down. It is then never ready."""

    def expect(self, *parts: str) -> None:
        """Add parts that will be loaded. The gateway is not ready until all of them are ready."""
        self.parts.update(dict.fromkeys(parts, LOADING))

    @property
    def ready(self) -> bool:
        return not self.draining and all(state == READY for state in self.parts.values())

    @property
    def failed(self) -> bool:
        return any(state.startswith("failed") for state in self.parts.values())

    def forget(self, part: str) -> None:
        """Take out a part without which the gateway is ready too."""
        self.parts.pop(part, None)

    def mended(self, part: str) -> None:
        """Mark a failed part as ready. A part that is still loading is not changed."""
        if self.parts.get(part, "").startswith("failed"):
            self.parts[part] = READY

    async def watch(self, part: str, load: Callable[[], Awaitable[None]]) -> bool:
        """Load one part, set its state, and return whether it is ready. If loading fails, the reason is logged."""
        self.parts[part] = LOADING
        began = monotonic()
        try:
            await load()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("could not load %s", part)
            self.parts[part] = f"failed: {error}"
            return False
        self.parts[part] = READY
        log.info("ready", extra={"part": part, "seconds": round(monotonic() - began, 2)})
        return True
