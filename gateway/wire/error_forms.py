"""Encodes an error in the form of the client's API, which is OpenAI's or Anthropic's."""

from gateway.ask import Endpoint
from gateway.errors import RequestError
from gateway.wire import errors
from gateway.wire.messages import error_form


def body_of(error: RequestError, endpoint: Endpoint, exchange_id: str) -> bytes:
    return error_form.envelope(error, exchange_id) if endpoint.is_anthropic else errors.envelope(error)


def last_event(error: RequestError, endpoint: Endpoint, exchange_id: str, last_piece: bytes) -> bytes:
    """Return the event that ends a broken stream. `last_piece` is the last piece that the client received."""
    if endpoint.is_anthropic:
        return error_form.event(error, exchange_id)
    return errors.response_event(error, last_piece) if endpoint is Endpoint.RESPONSES else errors.event(error)


def as_event(body: bytes, endpoint: Endpoint) -> bytes:
    """Convert the body of a refusal to an event, for a client that has already received the status."""
    return error_form.as_event(body) if endpoint.is_anthropic else errors.as_event(body)
