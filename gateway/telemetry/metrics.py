"""What Prometheus sees. Label children are looked up once and kept, since the lookup takes a lock."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.exchange import Endpoint, Exchange
from gateway.ports import Outcome
from gateway.telemetry import names

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)


class Metrics:
    """The counters of this worker. `shared` is true where several workers write to one folder."""

    def __init__(self, *, shared: bool = False) -> None:
        self._shared = shared
        self._registry = CollectorRegistry()
        in_registry: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter(
            names.REQUESTS, "Requests by endpoint, status and ending", ["endpoint", "status", "ending"], **in_registry
        )
        self._seconds = Histogram(
            names.SECONDS, "Seconds from request to last byte", ["endpoint"], buckets=SECONDS, **in_registry
        )
        self._first = Histogram(
            names.FIRST_BYTE_SECONDS, "Seconds to a stream's first byte", ["endpoint"], buckets=SECONDS, **in_registry
        )
        self._decisions = Counter(names.DECISIONS, "What the stages decided", ["stage", "decision"], **in_registry)
        self._children: dict[tuple[Endpoint, int, str], tuple[Counter, Histogram, Histogram]] = {}
        self._decisions_by: dict[tuple[str, str], Counter] = {}

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        if not self._shared:  # a callback gauge has no meaning across processes
            Gauge(name, text, registry=self._registry).set_function(value)

    def count(self, exchange: Exchange, outcome: Outcome) -> None:
        """Count a finished exchange."""
        kind = (exchange.ask.endpoint, outcome.status, outcome.ending)
        children = self._children.get(kind)
        if children is None:
            children = self._children[kind] = self._kind(*kind)
        requests, seconds, first = children
        requests.inc()
        seconds.observe(outcome.total_us / 1e6)
        if exchange.ask.stream and outcome.first_byte_us:
            first.observe(outcome.first_byte_us / 1e6)
        for note in exchange.notes:
            self._decided(note.stage, note.decision)

    def page(self) -> bytes:
        """The metrics in Prometheus' text format, of all workers where there are several."""
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)

    def _kind(self, endpoint: Endpoint, status: int, ending: str) -> tuple[Counter, Histogram, Histogram]:
        return (
            self._requests.labels(endpoint.value, str(status), ending),
            self._seconds.labels(endpoint.value),
            self._first.labels(endpoint.value),
        )

    def _decided(self, stage: str, decision: str) -> None:
        child = self._decisions_by.get((stage, decision))
        if child is None:
            child = self._decisions_by[stage, decision] = self._decisions.labels(stage, decision)
        child.inc()
