"""The exchange record: the stored format that the gateway writes and the offline jobs read.

Records outlive the code that wrote them, so records of every version must stay readable. If old code cannot read new
records after a change, or new code cannot read old records, increase `SCHEMA` and add an entry to `UPGRADES`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from gateway.ask import Mode, Turn
from gateway.errors import ForewordError
from gateway.exchange import Call, Chunk, ContextPlan, Exchange, Intent, Note, Rewrite, Sampling, Target
from gateway.ports import Answer, ExchangeOutcome

ReadAnswer = Callable[[bytes, str, str], Answer]
"""Converts a reply's bytes, content type and content encoding to an answer (see `wire.chat.answer.read_answer`)."""

SCHEMA = 1
RAW_LIMIT = 64 * 1024

Fields = dict[str, Any]
UPGRADES: Mapping[int, Callable[[Fields], Fields]] = {}
"""The functions that upgrade records. `UPGRADES[n]` converts the fields of a record from version n to n + 1."""


class UnknownSchema(ForewordError):
    """A newer version of Foreword wrote the record."""

    def __init__(self, schema: int) -> None:
        super().__init__(
            f"an exchange record has schema {schema}; this version supports 1 to {SCHEMA}. Upgrade Foreword to read it."
        )
        self.schema = schema


class ExchangeRecord(Struct, frozen=True):
    """One exchange: the request, every decision, the answer, and the outcome.

    Under the policy `hashed` each text is stored as `sha256:<hex>:<length>`, and `raw` is empty.
    """

    id: str
    schema: int = SCHEMA
    policy: str = "full"
    time_s: float = 0.0
    """When the request arrived, in seconds since 1970."""
    key: str = ""
    endpoint: str = ""
    model: str = ""
    user: str = ""
    conversation: str = ""
    stream: bool = False
    turns: tuple[Turn, ...] = field(default=(), name="asked")
    """The client's messages. The field is stored as `asked`, its name in earlier versions."""
    raw: bytes = b""
    """The request's body, or b"" if it is longer than `RAW_LIMIT`."""
    mode: Mode = Mode.ON
    intent: Intent = Intent.UNKNOWN
    rewrite: Rewrite = Rewrite.NONE
    prompt: tuple[Turn, ...] | None = None
    """The prompt that the stages made, or None if the client's prompt is unchanged."""
    changed: bool = False
    """Whether `prompt` was sent. In shadow mode, `prompt` is only recorded."""
    sampling: Sampling = Sampling()
    chunks: tuple[Chunk, ...] = ()
    plan: ContextPlan = ContextPlan.DIRECT
    route: tuple[Target, ...] = ()
    calls: tuple[Call, ...] = ()
    notes: tuple[Note, ...] = ()
    backend: str = ""
    upstream: str = ""
    """The backend's name for the model that answered."""
    ending: str = ""
    status: int = 0
    error: str = ""
    first_byte_us: int = 0
    total_us: int = 0
    job: str = ""
    """The offline job that made this call, or "" for a client's request."""
    recognised: str = ""
    """The found prompt from which the application built the request, as `id@version`, or "" if no prompt was
    recognised."""
    answer: Answer = Answer()
    """Must be the last field, because `entry` replaces the end of an encoded record by the encoded answer."""

    @property
    def sent(self) -> tuple[Turn, ...]:
        """The turns that were sent to the backend."""
        return self.prompt if self.changed and self.prompt is not None else self.turns


def record_of(exchange: Exchange, outcome: ExchangeOutcome, policy: str) -> ExchangeRecord:
    """Build the record of an exchange without the answer, which is read from the reply later."""
    ask = exchange.ask
    return ExchangeRecord(
        id=exchange.id,
        policy=policy,
        time_s=exchange.started_s,
        key=exchange.key.name,
        endpoint=ask.path or ask.endpoint.value,
        model=ask.model,
        user=ask.user,
        conversation=ask.controls.conversation,
        stream=ask.stream,
        turns=ask.turns,
        raw=ask.raw if len(ask.raw) <= RAW_LIMIT else b"",
        mode=exchange.mode,
        intent=exchange.intent,
        rewrite=exchange.rewrite,
        prompt=exchange.turns,
        changed=exchange.changed,
        sampling=exchange.sampling,
        chunks=exchange.chunks,
        plan=exchange.plan,
        route=exchange.route,
        calls=exchange.calls,
        notes=exchange.notes,
        backend=outcome.backend,
        upstream=outcome.model,
        ending=outcome.ending,
        status=outcome.status,
        error=outcome.error,
        first_byte_us=outcome.first_byte_us,
        total_us=outcome.total_us,
        job=exchange.job,
        recognised=exchange.recognised.ref,
    )


class _ListedIntent(Struct, frozen=True):
    name: str = ""


class _ListedRewrite(Struct, frozen=True):
    template: str = ""


class ListedFields(Struct, frozen=True):
    """The fields that listings filter and show. Decoding a record to this struct skips all other fields."""

    id: str
    schema: int = 1
    time_s: float = 0.0
    key: str = ""
    endpoint: str = ""
    model: str = ""
    upstream: str = ""
    intent: _ListedIntent = _ListedIntent()
    rewrite: _ListedRewrite = _ListedRewrite()
    status: int = 0
    ending: str = ""
    total_us: int = 0
    answer: Answer = Answer()


class StoredRecord(NamedTuple):
    """A record for the database: its listed fields, and the whole encoded record."""

    listed: ListedFields | ExchangeRecord
    data: bytes


class _RecordVersion(Struct):
    schema: int = 1


# `repr` encodes anything, so an unusual value in a note does not lose the record
encoder = msgspec.msgpack.Encoder(enc_hook=repr)
_version = msgspec.msgpack.Decoder(_RecordVersion)
_fields = msgspec.msgpack.Decoder(Fields)
_current = msgspec.msgpack.Decoder(ExchangeRecord)
_listed = msgspec.msgpack.Decoder(ListedFields)
_EMPTY = encoder.encode(Answer())
_UNREAD = encoder.encode("answer") + _EMPTY


def encode(record: ExchangeRecord) -> bytes:
    return encoder.encode(record)


def decode(data: bytes | msgspec.Raw) -> ExchangeRecord:
    """Decode a record of any version. Raises `UnknownSchema`, or `msgspec.DecodeError`."""
    schema = _version.decode(data).schema
    if schema == SCHEMA:
        return _current.decode(data)
    if not 1 <= schema < SCHEMA:
        raise UnknownSchema(schema)
    return msgspec.convert(upgraded(_fields.decode(data), schema, SCHEMA, UPGRADES), ExchangeRecord)


def entry(data: bytes | msgspec.Raw, answer: Answer | None = None) -> StoredRecord:
    """Build the database entry of an encoded record of any version. If an `answer` is given, it replaces the record's
    answer. Raises the errors of `decode`.

    A record of the current version is copied almost unchanged, because decoding and encoding it would cost more than
    the rest of the drain.
    """
    written = bytes(data)
    listed = _current_listed(written)
    if listed is not None and answer is None:
        return StoredRecord(listed, written)
    if listed is not None and answer is not None and written.endswith(_UNREAD):
        return StoredRecord(replace(listed, answer=answer), written[: -len(_EMPTY)] + encoder.encode(answer))
    record = decode(written)
    record = record if answer is None else replace(record, answer=answer)
    return StoredRecord(record, encode(record))


def _current_listed(written: bytes) -> ListedFields | None:
    """Return the listed fields, or None if the record has an older or a newer version."""
    try:
        listed = _listed.decode(written)
    except msgspec.ValidationError:
        if _version.decode(written).schema == SCHEMA:
            raise
        return None
    return listed if listed.schema == SCHEMA else None


def upgraded(fields: Fields, have: int, want: int, upgrades: Mapping[int, Callable[[Fields], Fields]]) -> Fields:
    """Upgrade a record's fields from version `have` to `want`, one version at a time."""
    for version in range(have, want):
        fields = {**upgrades[version](fields), "schema": version + 1}
    return fields
