"""Prometheus metrics.

Looking up a label takes a lock, so labels are cached. An increment takes a lock, too, so up to `MOST_HELD` exchanges
are collected and counted together. Before the metrics page is written, the collected exchanges are counted.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.ask import Endpoint
from gateway.exchange import Exchange
from gateway.ports import Answer, ExchangeOutcome
from gateway.telemetry import names

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)
MOST_HELD = 256

ReadAnswer: TypeAlias = Callable[[bytes, str, str], Answer]
_Alike: TypeAlias = tuple[Endpoint, int, str, tuple[tuple[str, str], ...]]
"""The labels of an exchange: endpoint, status, ending, and the decision of each stage."""


class Metrics:
    """The counters of this worker. `shared` means that several workers keep their metrics in one folder."""

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
        self._decisions = Counter(names.DECISIONS, "Decisions of the stages", ["stage", "decision"], **in_registry)
        self._tokens = Counter(
            names.TOKENS, "Tokens that backends reported for recorded answers", ["kind"], **in_registry
        )
        self.state_failures = Counter(
            names.STATE_FAILURES,
            "Operations done while the shared state could not be reached",
            **in_registry,
        )
        self._probes = Counter(names.PROBES, "Probes of backends", ["backend", "result"], **in_registry)
        self._mirrored = Counter(names.MIRRORED, "Requests drawn for a mirror", ["model", "result"], **in_registry)
        # the latest value of any worker, since each worker probes by itself
        self._healthy = Gauge(
            names.BACKEND_HEALTHY,
            "Whether a backend gets requests, as its probes say",
            ["backend"],
            multiprocess_mode="mostrecent",
            **in_registry,
        )
        self._waiting: dict[_Alike, list[tuple[int, int]]] = {}
        """The exchanges that are not counted yet. The key is an exchange's labels. The value has, for each exchange,
        the microseconds to the last byte and to the first byte."""
        self._held = 0
        self._children: dict[tuple[Endpoint, int, str], tuple[Counter, Histogram, Histogram]] = {}
        self._decisions_by: dict[tuple[str, str], Counter] = {}

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge. Its value is computed when the metrics page is written."""
        if not self._shared:  # a gauge with a callback has no meaning across processes
            Gauge(name, text, registry=self._registry).set_function(value)

    def probed(self, backend: str, good: bool, ejected: bool) -> None:
        """Count a probe, and note whether the backend gets requests."""
        self._probes.labels(backend, "good" if good else "bad").inc()
        self._healthy.labels(backend).set(0 if ejected else 1)

    def mirrored(self, model: str, result: str) -> None:
        self._mirrored.labels(model, result).inc()

    def counting_tokens(self, read_answer: ReadAnswer) -> ReadAnswer:
        """Return a function that reads an answer with `read_answer` and counts its tokens. The function may run on any
        thread."""
        kinds = {kind: self._tokens.labels(kind) for kind in ("prompt", "completion", "cached", "reasoning")}

        def read(body: bytes, content_type: str, content_encoding: str) -> Answer:
            answer = read_answer(body, content_type, content_encoding)
            for kind, counter in kinds.items():
                # -1: the backend did not report the count
                counter.inc(max(0, getattr(answer, f"{kind}_tokens")))
            return answer

        return read

    def count(self, exchange: Exchange, outcome: ExchangeOutcome) -> None:
        ask = exchange.ask
        decided = tuple([(note.stage, note.decision) for note in exchange.notes])
        alike = (ask.endpoint, outcome.status, outcome.ending, decided)
        took_us = (outcome.total_us, outcome.first_byte_us if ask.stream else 0)
        self._waiting.setdefault(alike, []).append(took_us)
        self._held += 1
        # with several workers, another worker may serve the page, so nothing may be held back here
        if self._held >= MOST_HELD or self._shared:
            self._settle()

    def _settle(self) -> None:
        waiting, self._waiting, self._held = self._waiting, {}, 0
        for (endpoint, status, ending, decided), took_us in waiting.items():
            requests, seconds, first = self._kind(endpoint, status, ending)
            requests.inc(len(took_us))
            for total_us, first_byte_us in took_us:
                seconds.observe(total_us / 1e6)
                if first_byte_us:
                    first.observe(first_byte_us / 1e6)
            for stage, decision in decided:
                self._decided(stage, decision, len(took_us))

    def page(self) -> bytes:
        """Return the metrics in Prometheus' text format. With `shared`, the page covers all workers."""
        self._settle()
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            return generate_latest(registry)
        return generate_latest(self._registry)

    def _kind(self, endpoint: Endpoint, status: int, ending: str) -> tuple[Counter, Histogram, Histogram]:
        children = self._children.get((endpoint, status, ending))
        if children is None:
            children = self._children[endpoint, status, ending] = (
                self._requests.labels(endpoint.value, str(status), ending),
                self._seconds.labels(endpoint.value),
                self._first.labels(endpoint.value),
            )
        return children

    def _decided(self, stage: str, decision: str, count: int) -> None:
        child = self._decisions_by.get((stage, decision))
        if child is None:
            child = self._decisions_by[stage, decision] = self._decisions.labels(stage, decision)
        child.inc(count)
