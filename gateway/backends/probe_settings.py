"""The settings of active probes, `[backends.x.probe]`."""

from collections.abc import Iterable

from msgspec import Struct

from gateway.errors import Problem
from gateway.settings.numbers import Count, Seconds


class ProbeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backends.x.probe]`: how a remote backend is asked whether it works, while no request needs it."""

    interval_s: Seconds = 10.0
    """The time between two probes. Each worker probes by itself."""
    timeout_s: Seconds = 5.0
    """A probe without an answer within this time has failed."""
    path: str = "models"
    """What is fetched: a path below `base_url`, or one that begins with `/` and belongs to the server's root, such as
    `/health`. Status 401, 403 and 5xx are failures. No model is asked."""
    model: str = ""
    """Ask this model for one token instead of fetching `path`. The backend may charge each probe."""
    unhealthy_after: Count = 3
    """After this many failed probes in a row, the backend gets no requests if others can answer."""
    healthy_after: Count = 2
    """After this many good probes in a row, the backend gets requests again."""


def check_probe(probe: ProbeSettings | None) -> Iterable[Problem]:
    if probe is None:
        return
    if any(not "!" <= mark <= "~" for mark in probe.path) or not probe.path:
        yield Problem("probe.path", f"{probe.path!r} is no path", "For example models or /health.")
    if probe.timeout_s > probe.interval_s:
        yield Problem("probe.timeout_s", "is longer than interval_s", "Make the timeout the shorter of the two.")
