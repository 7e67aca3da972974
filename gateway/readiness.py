"""What is still loading, what is ready, and what failed and why."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

log = logging.getLogger("foreword.ready")

LOADING, READY = "loading", "ready"


class Readiness:
    """The state of each part by name: `loading`, `ready`, or `failed: reason`."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.draining = False
        """Whether the gateway is ending: it is not ready then, whatever is loaded."""

    def expect(self, *parts: str) -> None:
        """These will be loaded: until they are, nothing is ready."""
        self.parts.update(dict.fromkeys(parts, LOADING))

    @property
    def ready(self) -> bool:
        return not self.draining and all(state == READY for state in self.parts.values())

    @property
    def failed(self) -> bool:
        return any(state.startswith("failed") for state in self.parts.values())

    def mended(self, part: str) -> None:
        """What had failed is there now. Says nothing of a part that is still loading."""
        if self.parts.get(part, "").startswith("failed"):
            self.parts[part] = READY

    async def watch(self, part: str, load: Callable[[], Awaitable[None]]) -> bool:
        """Run one part's loading and keep its state. False if it failed; the reason is logged and kept."""
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
