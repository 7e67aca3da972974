"""Serves health and metrics, for orchestrators and monitoring."""

from litestar import Response, get

from gateway.assembly.gateway import Gateway
from gateway.server.handlers import Shared
from gateway.telemetry.metrics import CONTENT_TYPE

OPEN = {"open": True}
"""Routes that need no key, because orchestrators and Prometheus have none."""


@get("/health/live", summary="Is the process alive?", tags=["operations"], opt=OPEN)
async def live() -> dict[str, str]:
    """Answers 200 as soon as the port is open."""
    return {"status": "alive"}


@get("/health/ready", summary="Is everything loaded?", tags=["operations"], opt=OPEN)
async def ready(gateway: Shared) -> Response[dict[str, object]]:
    """Answers 200 if every part is ready. Answers 503 with the state of each part while a part is loading or has
    failed, and during shutdown."""
    status, body = readiness_of(gateway)
    return Response(body, status_code=status)


def readiness_of(gateway: Gateway) -> tuple[int, dict[str, object]]:
    """Return the status and the body of `/health/ready`."""
    readiness = gateway.readiness
    state = "ready" if readiness.ready else "failed" if readiness.failed else "loading"
    body: dict[str, object] = {
        "status": "draining" if readiness.draining else state,
        "parts": readiness.parts,
        "reports": gateway.reports(),
    }
    return 200 if readiness.ready else 503, body


@get("/metrics", summary="Metrics in Prometheus' text format", tags=["operations"], media_type="text/plain", opt=OPEN)
async def metrics(gateway: Shared) -> Response[bytes]:
    """Metrics in Prometheus' text format: requests, durations, the stages' decisions, and how much of the spool is not
    in the database yet."""
    return Response(gateway.metrics.page(), headers={"content-type": CONTENT_TYPE})
