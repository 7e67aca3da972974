"""Keeps one key's objects at a backend from every other key. All keys share the backend's account.

A key without `admin` can use the objects that it created. The gateway reads the ids of new objects from the answers.
"""

import asyncio
import re
from collections.abc import Collection, Iterable
from typing import Any

from msgspec import Raw

from gateway.ask import ClientKey
from gateway.errors import KeyNotAllowed, NotFound
from gateway.records.object_owners import ObjectOwner, ObjectOwners
from gateway.server.passing.paths import OF_OPERATORS, PathParts
from gateway.wire.references import PREFIXED, created, entries_of, id_of, loose, references

STORED = re.compile(rb'"(?:file_ids?|conversation|container(?:_id)?|previous_response_id)"|\\u00[4-7]')
"""Finds a field with a reference, or an escaped letter that may hide one."""
EVERYBODY = frozenset(("msg", "run", "step", "call"))
"""The prefixes of ids that are found only below an object with an owner. Their owners are not stored."""


async def check_path(owners: ObjectOwners, key: ClientKey, parts: PathParts) -> ObjectOwner | None:
    """Return the owner of the object that the path names first, or None if the path names no known object.

    Raises `NotFound` if the key may not use the objects in the path, and `KeyNotAllowed` for an operator's path.
    """
    if parts.family in OF_OPERATORS and not key.admin:
        raise KeyNotAllowed("Only a key with admin = true may use the backend's account.")
    if not parts.ids and not parts.words:
        return None
    known = await owners.find([*parts.ids, *parts.words])
    first = known.get(parts.ids[0]) if parts.ids else next(iter(known.values()), None)
    if not key.admin:
        if first is None and parts.ids:
            raise _not_found(parts.ids[0])
        for id, owner in known.items():
            if owner.key != key.name:
                raise _not_found(id)
    return first


async def check_references(
    owners: ObjectOwners, key: ClientKey, ids: Collection[str], *, strict: bool = True
) -> ObjectOwner | None:
    """Return the owner of one of the objects that a request names, or None if none is known.

    Raises `NotFound` for an object of another key. With `strict`, a prefixed id of an object that no key created
    through this gateway is another key's too.
    """
    if not ids:
        return None
    known = await owners.find(ids)
    if not key.admin:
        for id in sorted(ids):
            owner = known.get(id)
            if (owner is None and strict and PREFIXED.fullmatch(id)) or (owner is not None and owner.key != key.name):
                raise _not_found(id)
    return next(iter(known.values()), None)


def may_refer(raw: bytes) -> bool:
    """Whether a body may name stored objects. Ordinary requests name none, and are not read a second time."""
    return STORED.search(raw) is not None


async def check_stored(owners: ObjectOwners, key: ClientKey, raw: bytes) -> None:
    """Raise `NotFound` if the body of one of the gateway's own endpoints names an object of another key.

    Unknown objects are allowed: they may be in the gateway's own stores, or the operator's.
    """
    value = await asyncio.to_thread(loose, raw)
    await check_references(owners, key, references(value), strict=False)


async def claim(owners: ObjectOwners, key: ClientKey, backend: str, parts: PathParts, answers: Iterable[Any]) -> None:
    """Store the key as the owner of the new objects in answers."""
    # what is below an object, such as a message in a thread, is found only through that object
    ids = [id for answer in answers for id in created(answer, own=not parts.ids)]
    ids = [id for id in ids if id.split("_")[0] not in EVERYBODY]
    if ids:
        await owners.claim(ids, ObjectOwner(key.name, backend))


async def own_entries(owners: ObjectOwners, key: ClientKey, entries: list[Raw]) -> list[Raw]:
    """Return the entries of a list that the key created."""
    ids = [id_of(entry) for entry in entries]
    known = await owners.find([id for id in ids if id])
    return [entry for id, entry in zip(ids, entries, strict=True) if (owner := known.get(id)) and owner.key == key.name]


async def own_parts(owners: ObjectOwners, key: ClientKey, answer: Any) -> bool:
    """Leave only the key's own objects in each list of an answer. Return whether any was taken out."""
    changed = False
    for entries in list(entries_of(answer)):
        ids = [each["id"] if isinstance(each, dict) and isinstance(each.get("id"), str) else "" for each in entries]
        known = await owners.find([id for id in ids if id])
        own = [each for id, each in zip(ids, entries, strict=True) if (o := known.get(id)) and o.key == key.name]
        changed = changed or len(own) < len(entries)
        entries[:] = own
    return changed


def _not_found(id: str) -> NotFound:
    return NotFound(f"No object found with id {id[:100]!r}.")
