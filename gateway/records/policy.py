"""The record policy (`full`, `hashed` or `none`), which is applied before a record is written."""

import hashlib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from gateway.ask import ClientKey, Turn
from gateway.errors import Problem
from gateway.exchange import Chunk, Intent, Note, Rewrite, SlotValue
from gateway.ports import Answer
from gateway.records.schema import ExchangeRecord
from gateway.settings.tables import Settings


class RecordPolicy(StrEnum):
    """How much of an exchange is stored."""

    FULL = "full"  # prompts, answers, figures
    HASHED = "hashed"  # figures, names, and the SHA-256 of each text
    NONE = "none"  # nothing


def is_recorded(key: ClientKey, default: str) -> bool:
    """Return whether a key's exchanges are recorded. `default` is `[records] policy`."""
    return (key.record or default) != RecordPolicy.NONE


def policy_problems(settings: Settings) -> Iterable[Problem]:
    """Yield a problem for each unknown policy in the configuration."""
    policies = {"[records] policy": settings.records.policy} | {
        f"[keys.{name}] record": key.record for name, key in settings.keys.items() if key.record
    }
    known = ", ".join(RecordPolicy)
    for where, policy in policies.items():
        if policy not in set(RecordPolicy):
            yield Problem(f"{settings.file} {where}", f"unknown record policy {policy!r}", f"Known: {known}.")


def hashed_text(text: str) -> str:
    """Return `sha256:<hex>:<length>`, with the length in characters. Equal texts have equal hashes. An empty text stays
    empty.

    A hash does not protect a text that can be guessed, such as "yes" or a phone number.
    """
    if not text:
        return ""
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}:{len(text)}"


def hashed_record(record: ExchangeRecord) -> ExchangeRecord:
    """Return the record with the texts of users and documents hashed or removed."""
    return replace(
        record,
        user=hashed_text(record.user),
        conversation=hashed_text(record.conversation),
        turns=_turns(record.turns),
        raw=b"",
        intent=_intent(record.intent),
        rewrite=_rewrite(record.rewrite),
        prompt=None if record.prompt is None else _turns(record.prompt),
        chunks=tuple(_chunk(chunk) for chunk in record.chunks),
        notes=tuple(_note(note) for note in record.notes),
        error=hashed_text(record.error),
        answer=_answer(record.answer),
    )


def _turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    return tuple(replace(turn, text=hashed_text(turn.text)) for turn in turns)


def _intent(intent: Intent) -> Intent:
    return replace(intent, reasons=())  # reasons may quote the query


def _rewrite(rewrite: Rewrite) -> Rewrite:
    slots = tuple(_slot(slot) for slot in rewrite.slots)
    return replace(rewrite, slots=slots, withheld=_turns(rewrite.withheld))


def _slot(slot: SlotValue) -> SlotValue:
    return replace(slot, value=hashed_text(slot.value))


def _chunk(chunk: Chunk) -> Chunk:
    texts = {name: hashed_text(getattr(chunk, name)) for name in ("text", "heading", "placement")}
    return replace(chunk, **texts)


def _note(note: Note) -> Note:
    # reason and data may quote the query; figures cannot
    return replace(note, reason=hashed_text(note.reason), data=_figures(note.data))


def _figures(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _figures(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_figures(entry) for entry in value]
    return hashed_text(str(value))


def _answer(answer: Answer) -> Answer:
    calls = tuple(replace(call, arguments=hashed_text(call.arguments)) for call in answer.calls)
    return replace(answer, text=hashed_text(answer.text), extra={}, calls=calls)
