"""The messages of OpenAI's responses API over a WebSocket: requests become bodies, and events get their stream's id."""

import os
from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import BadRequest, RequestError
from gateway.wire.errors import envelope
from gateway.wire.json_fields import not_json
from gateway.wire.references import loose

CREATE = "response.create"
OF_THE_SOCKET = ("type", "stream_id", "generate", "stream", "background")
"""The fields of a message that the body of a request does not have, or that mean nothing here."""
PREVIOUS = "previous_response_id"
DONE = (b'"response.completed"', b'"response.incomplete"')
MOST_BYTES = 16 * 2**20
FALSE = b"false"
_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode


class _Done(msgspec.Struct):
    id: str = ""
    output: list[Raw] = []


class _DoneEvent(msgspec.Struct):
    response: _Done


class _Type(msgspec.Struct):
    type: str = ""


class _StreamId(msgspec.Struct):
    stream_id: Raw = Raw(b"")


_stream = msgspec.json.Decoder(_StreamId)
_done = msgspec.json.Decoder(_DoneEvent)
_type = msgspec.json.Decoder(_Type)


class SocketRequest(msgspec.Struct):
    """A message `response.create`. `items` is its whole input, with that of the responses that it continues.

    `is_stored` is False if the server must not store the response.
    """

    body: bytes
    items: list[Raw]
    generates: bool = True
    is_stored: bool = True


class SocketMemory:
    """The responses of one WebSocket that the server must not store. They can be continued while it is open.

    The oldest are forgotten first.
    """

    def __init__(self) -> None:
        self._items: OrderedDict[str, list[Raw]] = OrderedDict()
        self._size = 0

    def request(self, message: str | bytes) -> SocketRequest:
        """Read a message. Raises `BadRequest`."""
        raw = message.encode() if isinstance(message, str) else message
        try:
            fields = _fields.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise not_json(error, raw) from None
        kind = _text(fields.get("type"))
        if kind != CREATE:
            text = f"Messages of the type {kind[:100]!r} are not supported here; send {CREATE!r}."
            raise BadRequest(text, param="type", code="invalid_value")
        socket = {name: bytes(fields.pop(name)) for name in OF_THE_SOCKET if name in fields}
        given = _input(fields.get("input"))
        earlier = self._items.get(_text(fields.get(PREVIOUS)))
        if earlier is not None:
            del fields[PREVIOUS]
            given = [*earlier, *given]
            fields["input"] = Raw(_encode(given))
        fields["stream"] = Raw(b"true")
        return SocketRequest(
            _encode(fields),
            given,
            socket.get("generate") != FALSE,
            bytes(fields.get("store", b"")) != FALSE,
        )

    def keep(self, request: SocketRequest, event: bytes) -> None:
        """Keep a finished response. `event` is its last event."""
        try:
            done = _done.decode(event).response
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if done.id:
            # reasoning cannot be sent back without its encrypted content
            self._keep(done.id, [*request.items, *[item for item in done.output if _can_return(item)]])

    def begun(self, request: SocketRequest) -> tuple[bytes, ...]:
        """Return the events for a request that only prepares later ones (`"generate": false`)."""
        id = f"resp_fw_begun_{os.urandom(12).hex()}"
        self._keep(id, request.items)
        response = {"id": id, "object": "response", "status": "in_progress", "output": []}
        created = {"type": "response.created", "sequence_number": 0, "response": response}
        completed = {
            "type": "response.completed",
            "sequence_number": 1,
            "response": {**response, "status": "completed"},
        }
        return _encode(created), _encode(completed)

    def _keep(self, id: str, items: list[Raw]) -> None:
        self._items[id] = items
        self._size += _size(items)
        while self._size > MOST_BYTES:
            _, oldest = self._items.popitem(last=False)
            self._size -= _size(oldest)


def stream_of(message: str | bytes) -> bytes:
    """Return the JSON of the stream's id in a message, or b"" if the message names no stream."""
    try:
        stream = bytes(_stream.decode(message).stream_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    return stream if stream.startswith(b'"') else b""


def is_done(event: bytes) -> bool:
    """Whether an event ends a response that can be continued."""
    if not any(mark in event for mark in DONE):
        return False
    try:
        return _encode(_type.decode(event).type) in DONE
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def in_stream(event: bytes, stream: bytes) -> bytes:
    """Return an event with the id of its stream."""
    return b'{"stream_id":' + stream + b"," + event[1:] if stream and event[:2] == b'{"' else event


def refusal(status: int, body: bytes) -> bytes:
    """Return the event for a refused request, with the error object of the refusal's body."""
    value = loose(body)
    error: Any = value.get("error") if isinstance(value, dict) else None
    return _encode({"type": "error", "status": status, "error": error})


def fault(error: RequestError) -> bytes:
    """Return the event for an error."""
    return refusal(error.status, envelope(error))


def _input(raw: Raw | None) -> list[Raw]:
    if raw is None or bytes(raw) == b"null":
        return []
    if bytes(raw)[:1] == b'"':
        return [Raw(b'{"type":"message","role":"user","content":' + bytes(raw) + b"}")]
    try:
        return _items.decode(raw)
    except msgspec.DecodeError:
        return []  # the error is told when the request is read


def _can_return(item: Raw) -> bool:
    try:
        is_reasoning = _type.decode(item).type == "reasoning"
    except msgspec.DecodeError:
        return False
    return not is_reasoning or b'"encrypted_content":"' in bytes(item).replace(b": ", b":")


def _text(raw: Raw | None) -> str:
    value = loose(bytes(raw)) if raw is not None else ""
    return value if isinstance(value, str) else ""


def _size(items: list[Raw]) -> int:
    return sum(len(bytes(item)) for item in items)
