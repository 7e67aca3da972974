"""Turns a whole answer into the stream of events that the client asked for."""

from collections.abc import AsyncIterator, Iterable

from msgspec.structs import replace

from gateway.ask import Ask, Endpoint
from gateway.ports import Headers, Reply
from gateway.wire.chat import as_stream as chat
from gateway.wire.chat import next_draw
from gateway.wire.messages import as_stream as messages
from gateway.wire.responses import as_stream as responses

EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
OF_THE_BODY = frozenset({b"content-type", b"content-length"})


def as_events(reply: Reply, ask: Ask) -> Reply:
    """Convert a reply with a whole body to a stream of events. Raises `BackendFailed` if the body is not an answer of
    the endpoint.
    """
    if ask.endpoint is Endpoint.RESPONSES:
        events = responses.events(reply.body)
    elif ask.endpoint is Endpoint.MESSAGES:
        events = messages.events(reply.body)
    else:
        events = chat.events(reply.body, usage=next_draw.wants_usage(ask.content))
    return replace(reply, headers=streamed_headers(reply.headers), body=b"", pieces=_pieces(events))


def streamed_headers(headers: Headers) -> Headers:
    """Return the headers with the content type of a stream of events, and without the content length."""
    return (*[header for header in headers if header[0].lower() not in OF_THE_BODY], EVENT_STREAM)


async def _pieces(events: Iterable[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event
