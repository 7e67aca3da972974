"""Exports finished exchanges as traces.

A trace is made from the exchange's notes after the exchange has ended, so no span stays open while the server streams.
By default, traces are off and OpenTelemetry is not imported.
"""

import re
import sys
from typing import Any

from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome
from gateway.settings.records import Telemetry
from gateway.telemetry import names

_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*(?:\"|$)|(?<!\w)'(?:[^'\\]|\\.)*(?:'(?!\w)|$)")


class Traces:
    """Exports spans in the background. Spans never contain prompt text."""

    def __init__(self, settings: Telemetry) -> None:
        # imported here: OpenTelemetry costs a bare gateway 15 MB and 0.2 s at start
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

        exporter: SpanExporter
        if settings.traces == "console":
            # `out` is given, because the default is bound when the module is imported
            exporter = ConsoleSpanExporter(out=sys.stdout)
        else:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter(endpoint=settings.traces)
        self._provider = TracerProvider(resource=Resource.create({"service.name": settings.service}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("foreword")

    def add(self, exchange: Exchange, outcome: ExchangeOutcome, traceparent: str) -> None:
        """Export the exchange as a span, with its stages as children. `traceparent` is the header of the caller's
        trace, or ""."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent}) if traceparent else None
        begun = int(exchange.started_s * 1e9)
        attributes: dict[str, Any] = {
            names.OPERATION: "chat" if exchange.ask.endpoint.takes_messages else exchange.ask.endpoint.value,
            names.REQUEST_MODEL: exchange.ask.model,
            names.RESPONSE_MODEL: outcome.model,
            names.PROVIDER: outcome.backend,
            names.FINISH_STATUS: outcome.status,
            names.EXCHANGE_ID: exchange.id,
            names.ENDING: outcome.ending,
            names.INTENT: exchange.intent.name,
            names.TEMPLATE: exchange.rewrite.template,
        }
        span = self._tracer.start_span("exchange", parent, trace.SpanKind.SERVER, attributes, start_time=begun)
        inside = trace.set_span_in_context(span)
        at = begun
        for note in exchange.notes:
            about = {names.STAGE_DECISION: note.decision, names.STAGE_REASON: unquoted(note.reason)}
            stage = self._tracer.start_span(note.stage, inside, attributes=about, start_time=at)
            at += note.took_us * 1000
            stage.end(at)
        span.end(begun + outcome.total_us * 1000)

    def close(self) -> None:
        self._provider.shutdown()


def unquoted(reason: str) -> str:
    """Remove quotations from a reason. A quotation may contain the client's words, and traces go to other systems."""
    return _QUOTED.sub("'…'", reason)
