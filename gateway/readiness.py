"""Keeps the state of the parts that load after the start: loading, ready or failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

log = logging.getLogger("foreword.ready")

LOADING, READY = "loading", "ready"


class Readiness:
    """The state of each part: `loading`, `ready`, or `failed: reason`."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.draining = False
        """Whether the gateway is shutting down. A gateway that shuts down is never ready."""

    def expect(self, *parts: str) -> None:
        """Add parts that will be loaded. Until all of them are ready, the gateway is not."""
        self.parts.update(dict.fromkeys(parts, LOADING))

    @property
    def ready(self) -> bool:
        return not self.draining and all(state == READY for state in self.parts.values())

    @property
    def failed(self) -> bool:
        return any(state.startswith("failed") for state in self.parts.values())

    def mended(self, part: str) -> None:
        """Mark a failed part as ready. This changes no part that is still loading."""
        if self.parts.get(part, "").startswith("failed"):
            self.parts[part] = READY

    async def watch(self, part: str, load: Callable[[], Awaitable[None]]) -> bool:
        """Load one part and set its state. After a failure, log the reason and return False."""
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
