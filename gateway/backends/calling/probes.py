"""Asks backends from time to time whether they work, and keeps requests away from those that do not."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import Struct

from gateway.ask import Ask, Endpoint
from gateway.backends.probe_settings import ProbeSettings
from gateway.errors import NotReady, RequestError
from gateway.exchange import Exchange

log = logging.getLogger("foreword.probe")

REFUSED = (401, 403)
"""The statuses with which a server refuses the gateway's key. Requests would be refused, too."""

Ping = Callable[[], Awaitable[int]]
"""Sends one probe, and returns the status. Raises `RequestError`."""
Note = Callable[[str, bool, bool], None]
"""Gets the backend, whether the probe was good, and whether the backend is ejected now."""


class ProbePlan(Struct, frozen=True):
    settings: ProbeSettings
    ping: Ping


class _Row(Struct):
    """The results in a row: `good` ones or `bad` ones, the other number is 0."""

    good: int = 0
    bad: int = 0


class Probes:
    """The probes of one worker. A backend counts as healthy until its probes say otherwise."""

    def __init__(
        self,
        plans: Mapping[str, ProbePlan],
        note: Note = lambda _backend, _good, _ejected: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.ejected: dict[str, str] = {}
        """The backends that get no requests, and why."""
        self._plans = plans
        self._note = note
        self._chance = chance

    def __bool__(self) -> bool:
        return bool(self._plans)

    async def watch(self) -> None:
        """Probe until the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, plan in self._plans.items():
                group.create_task(self._watch(name, plan))

    async def _watch(self, name: str, plan: ProbePlan) -> None:
        row, interval_s = _Row(), plan.settings.interval_s
        # workers that start together must not probe together
        await asyncio.sleep(interval_s * self._chance())
        while True:
            began = asyncio.get_running_loop().time()
            reason = await self._reason(name, plan)
            if reason is not None:
                self._count(name, plan.settings, row, reason)
            took_s = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.0, interval_s - took_s))

    async def _reason(self, name: str, plan: ProbePlan) -> str | None:
        """Send a probe. Returns why it failed, "" if it was good, or None if it says nothing about the backend."""
        try:
            async with asyncio.timeout(plan.settings.timeout_s):
                status = await plan.ping()
        except TimeoutError:
            return f"no answer within {plan.settings.timeout_s:g} s"
        except NotReady:
            return None  # all connections are in use, or the gateway is still opening them
        except RequestError as error:
            return error.message
        except Exception as error:  # a probe must never end the others
            log.exception("the probe of the backend %s failed", name)
            return type(error).__name__
        return f"status {status}" if status >= 500 or status in REFUSED else ""

    def _count(self, name: str, settings: ProbeSettings, row: _Row, reason: str) -> None:
        row.good, row.bad = (0, row.bad + 1) if reason else (row.good + 1, 0)
        if name not in self.ejected and row.bad >= settings.unhealthy_after:
            self.ejected[name] = reason
            log.error("the backend %s gets no requests while others can answer: its probes fail: %s", name, reason)
        elif name in self.ejected and row.good >= settings.healthy_after:
            del self.ejected[name]
            log.warning("the backend %s gets requests again", name)
        self._note(name, not reason, name in self.ejected)


def one_token(model: str) -> Exchange:
    """Return a request for one token, which a backend may charge."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    return Exchange("probe", Ask(Endpoint.CHAT, model, msgspec.json.encode(body)), job="probe")
