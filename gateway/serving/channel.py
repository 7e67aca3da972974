"""Messages between the parent process and a worker: lines of JSON over a pair of sockets."""

from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from gateway.settings.reload import ReloadOutcome


class Accept(Struct, frozen=True, tag=True):
    """To a worker: accept connections from now on."""


class DrainOrder(Struct, frozen=True, tag=True):
    """To a worker: shut down. Keep the port open for `notice_s`, then finish running requests within `drain_s`.

    With `replaced`, other workers accept connections on the port from now on.
    """

    notice_s: float
    drain_s: float
    replaced: bool = False


class AskMetrics(Struct, frozen=True, tag=True):
    """To a worker: send your metrics."""


class ReloadEnded(Struct, frozen=True, tag=True):
    """To a worker: the result of its `AskReload` with this number."""

    number: int
    outcome: ReloadOutcome


class Opened(Struct, frozen=True, tag=True):
    """To the parent: the application has started."""


class Failed(Struct, frozen=True, tag=True):
    """To the parent: the application cannot start."""

    reason: str


class Beat(Struct, frozen=True, tag=True):
    """To the parent, twice a second: the event loop is running. The fields are figures for the metrics."""

    requests: int = 0
    connections: int = 0
    refused: int = 0
    evicted: int = 0
    expired: int = 0


class Ready(Struct, frozen=True, tag=True):
    """To the parent, after each change: the new status and body of `/health/ready`."""

    status: int
    body: Raw


class Closed(Struct, frozen=True, tag=True):
    """To the parent: the worker accepts no more connections."""


class MetricsPage(Struct, frozen=True, tag=True):
    """To the parent: the metrics in Prometheus' text format."""

    text: str


class AskReload(Struct, frozen=True, tag=True):
    """To the parent: take this configuration or, if `config` is None, read the file again."""

    number: int
    config: str | None


ToWorker = Accept | DrainOrder | AskMetrics | ReloadEnded
FromWorker = Opened | Failed | Beat | Ready | Closed | MetricsPage | AskReload
Message = TypeVar("Message", ToWorker, FromWorker)

_encode = msgspec.json.Encoder().encode
read_order = msgspec.json.Decoder(ToWorker).decode
read_report = msgspec.json.Decoder(FromWorker).decode


def line(message: ToWorker | FromWorker) -> bytes:
    return _encode(message) + b"\n"


class Lines:
    """Splits received bytes into whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        return whole
