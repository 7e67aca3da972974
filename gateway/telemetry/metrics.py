"""What Prometheus sees. Label children are looked up once and kept, since the lookup takes a lock."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.exchange import Exchange
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
            names.FIRST_BYTE_SECONDS, "Seconds to the first byte", ["endpoint"], buckets=SECONDS, **in_registry
        )
        self._decisions = Counter(names.DECISIONS, "What the stages decided", ["stage", "decision"], **in_registry)
        self._children: dict[tuple[Any, ...], Any] = {}

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        if not self._shared:  # a callback gauge has no meaning across processes
            Gauge(name, text, registry=self._registry).set_function(value)

    def count(self, exchange: Exchange, outcome: Outcome) -> None:
        """Count a finished exchange."""
        endpoint = exchange.ask.endpoint.value
        self._child(self._requests, endpoint, str(outcome.status), outcome.ending).inc()
        self._child(self._seconds, endpoint).observe(outcome.total_us / 1e6)
        if outcome.first_byte_us:
            self._child(self._first, endpoint).observe(outcome.first_byte_us / 1e6)
        for note in exchange.notes:
            self._child(self._decisions, note.stage, note.decision).inc()

    def page(self) -> bytes:
        """The metrics in Prometheus' text format, of all workers where there are several."""
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)

    def _child(self, metric: Any, *labels: str) -> Any:
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child
