"""Reports on the workers: liveness, readiness, and metrics in Prometheus' text format."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Struct

from gateway.serving.child import Child

STALLED_S = 5.0
"""A worker whose event loop has not run for this long counts as stalled."""

_encode = msgspec.json.encode


class _ReadyBody(Struct):
    status: str = ""


def has_failed(child: Child) -> bool:
    """Return whether a part of the worker's gateway failed to load."""
    return msgspec.json.decode(child.ready_body, type=_ReadyBody).status == "failed"


def stalled(children: Sequence[Child]) -> list[int]:
    """Return the `number` of each stalled worker."""
    return [child.number for child in children if child.silent_s() >= STALLED_S]


def live(children: Sequence[Child]) -> tuple[int, bytes]:
    """Return the status and body of `/health/live`.

    The status is 503 if a worker is stalled, so that the orchestrator restarts the server.
    """
    if still := stalled(children):
        return 503, _encode({"status": "stalled", "workers": still})
    return 200, _encode({"status": "alive"})


def ready(children: Sequence[Child], *, ending: bool) -> tuple[int, bytes]:
    """Return the status and body of `/health/ready`.

    The status is 200 if at least one worker is ready, no worker is stalled, and the server is not shutting down.
    """
    if ending:
        return 503, _encode({"status": "draining"})
    if still := stalled(children):
        return 503, _encode({"status": "stalled", "workers": still})
    best = min(children, key=lambda child: child.ready_status, default=None)
    if best is None:
        return 503, _encode({"status": "starting"})
    return best.ready_status, best.ready_body


FIGURES: tuple[tuple[str, str, str, Callable[[Child], float]], ...] = (
    ("foreword_worker_up", "gauge", "Whether the worker has started", lambda child: child.opened),
    ("foreword_worker_silent_seconds", "gauge", "Seconds since the worker's last beat", lambda child: child.silent_s()),
    ("foreword_worker_requests", "gauge", "Running requests", lambda child: child.beat.requests),
    ("foreword_worker_connections", "gauge", "Open connections", lambda child: child.beat.connections),
    (
        "foreword_worker_refused",
        "counter",
        "Requests refused because there were too many",
        lambda child: child.beat.refused,
    ),
    ("foreword_worker_evicted", "counter", "Idle connections closed for new ones", lambda child: child.beat.evicted),
    ("foreword_worker_expired", "counter", "Connections closed after a timeout", lambda child: child.beat.expired),
)


def figures(children: Sequence[Child], restarts: int, reloads: Mapping[str, int]) -> str:
    """Return metrics about the parent and its workers. `reloads` counts new configurations by their result."""
    lines = []
    for name, kind, text, value in FIGURES:
        sample = f"{name}_total" if kind == "counter" else name
        lines += [f"# HELP {sample} {text}.", f"# TYPE {sample} {kind}"]
        lines += [f'{sample}{{worker="{child.number}"}} {float(value(child)):g}' for child in children]
    lines += ["# HELP foreword_worker_restarts_total Workers that died and were replaced."]
    lines += ["# TYPE foreword_worker_restarts_total counter", f"foreword_worker_restarts_total {restarts}"]
    lines += ["# HELP foreword_reloads_total New configurations.", "# TYPE foreword_reloads_total counter"]
    lines += [f'foreword_reloads_total{{result="{result}"}} {count}' for result, count in reloads.items()]
    return "\n".join(lines) + "\n"
