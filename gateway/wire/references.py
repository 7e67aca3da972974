"""Finds the ids of stored objects in JSON of OpenAI's API: in requests, in answers, and in events of a stream."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

REFERENCES = frozenset(
    (
        "assistant_id",
        "batch_id",
        "container",
        "container_id",
        "conversation",
        "conversation_id",
        "error_file_id",
        "eval_id",
        "file",
        "file_id",
        "file_ids",
        "fine_tuning_job_id",
        "input_file_id",
        "input_files",
        "output_file_id",
        "part_ids",
        "previous_response_id",
        "response_id",
        "result_files",
        "run_id",
        "thread_id",
        "training_file",
        "training_files",
        "upload_id",
        "validation_file",
        "validation_files",
        "vector_store_id",
        "vector_store_ids",
        "video_id",
    )
)
"""The fields that name an object by its id."""
OF_A_SESSION = frozenset(("response_id",))
FREE_FORM = frozenset(("metadata", "arguments", "parameters", "schema", "json_schema", "variables"))
"""The fields in which a client may write anything."""
ID = re.compile(r"[A-Za-z0-9_.:-]{1,256}")
PREFIXED = re.compile(r"[a-z]+[a-z0-9]*[-_][A-Za-z0-9_.:-]{3,250}")
MOST = 200
"""The most ids that are read from one answer."""
DEEPEST = 40


def references(value: Any) -> set[str]:
    """Return the ids of all objects that a request may name. An id without a prefix may also be an ordinary word."""
    return {id for name, id in _named(value, DEEPEST) if name in REFERENCES and ID.fullmatch(id)}


def foreign_references(value: Any) -> set[str]:
    """Do as `references` does, without the responses of a realtime session, which only the session knows."""
    return {id for name, id in _named(value, DEEPEST) if name in REFERENCES - OF_A_SESSION and ID.fullmatch(id)}


def created(value: Any, *, own: bool) -> list[str]:
    """Return the ids of objects in an answer. With `own`, the ids of the answer's own objects are included; otherwise
    only the ids of other objects, to which they refer.
    """
    ids = [id for name, id in _named(value, DEEPEST) if name in REFERENCES or (own and name == "id")]
    return list(dict.fromkeys(id for id in ids if ID.fullmatch(id)))[:MOST]


def models(value: Any) -> list[str]:
    """Return each text in a field `model`, at any depth."""
    return [name for field, name in _named(value, DEEPEST) if field == "model"]


def _named(value: Any, deeper: int) -> Iterator[tuple[str, str]]:
    """Yield (field, text) for each text in a field, and for each text in a list in a field."""
    if not deeper:
        return
    if isinstance(value, dict):
        for name, member in value.items():
            if isinstance(member, str):
                yield name, member
            elif name not in FREE_FORM:
                if isinstance(member, list):
                    yield from ((name, each) for each in member if isinstance(each, str))
                elif isinstance(member, dict) and name in ("conversation", "container") and "id" in member:
                    yield from ((name, each) for each in (member["id"],) if isinstance(each, str))
                yield from _named(member, deeper - 1)
    elif isinstance(value, list):
        for each in value:
            yield from _named(each, deeper - 1)


def loose(raw: bytes) -> Any:
    """Decode JSON. Returns None for anything else."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def loose_in_any_encoding(raw: bytes) -> Any:
    """Decode JSON in UTF-8, UTF-16 or UTF-32. Returns None for anything else."""
    return loose(raw.decode(json.detect_encoding(raw), "replace").encode())


class ObjectPage(msgspec.Struct):
    """A page of a list, with its entries as they came."""

    data: list[msgspec.Raw]
    object: str = ""
    has_more: bool | None = False


class _Entry(msgspec.Struct):
    id: str = ""


_page = msgspec.json.Decoder(ObjectPage)
_entry = msgspec.json.Decoder(_Entry)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
encoded = msgspec.json.Encoder().encode


def page_of(raw: bytes) -> ObjectPage | None:
    """Decode a list, or return None if the answer is none."""
    try:
        return _page.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def id_of(entry: msgspec.Raw) -> str:
    """Return the id of an entry of a list, or "" if it has none."""
    try:
        return _entry.decode(entry).id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def entries_of(value: Any, deeper: int = DEEPEST) -> Iterator[list[Any]]:
    """Yield each list of objects that have ids, at any depth. What is inside of such an object is not searched."""
    if isinstance(value, list) and any(isinstance(each, dict) and "id" in each for each in value):
        yield value
    elif deeper and isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from entries_of(member, deeper - 1)


def with_entries(raw: bytes, entries: list[msgspec.Raw], *, more: bool) -> bytes:
    """Return a list with other entries. Each entry keeps its bytes."""
    fields = _members.decode(raw)
    fields["data"] = msgspec.Raw(b"[" + b",".join(bytes(entry) for entry in entries) + b"]")
    for name, place in (("first_id", 0), ("last_id", -1)):
        if name in fields:
            fields[name] = msgspec.Raw(encoded(id_of(entries[place]) if entries else None))
    if "has_more" in fields:
        fields["has_more"] = msgspec.Raw(encoded(more))
    return encoded(fields)
