"""Encodes an error in the form of the API that the client speaks: OpenAI's or Anthropic's."""

from gateway.ask import Endpoint
from gateway.errors import RequestError
from gateway.wire import errors
from gateway.wire.messages import error_form


def body_of(error: RequestError, endpoint: Endpoint, exchange_id: str) -> bytes:
    """The body of a refusal."""
    return error_form.envelope(error, exchange_id) if endpoint.is_anthropic else errors.envelope(error)


def last_event(error: RequestError, endpoint: Endpoint, exchange_id: str, last_piece: bytes) -> bytes:
    """The event that ends a broken stream. `last_piece` is the piece that was sent before it."""
    if endpoint.is_anthropic:
        return error_form.event(error, exchange_id)
    return errors.response_event(error, last_piece) if endpoint is Endpoint.RESPONSES else errors.event(error)


def as_event(body: bytes, endpoint: Endpoint) -> bytes:
    """Convert the body of a refusal to an event, for use after the status was sent."""
    return error_form.as_event(body) if endpoint.is_anthropic else errors.as_event(body)
