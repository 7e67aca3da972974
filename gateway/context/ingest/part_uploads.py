"""Uploads in parts. The parts of an upload lie on the disk, and `complete` joins them to one uploaded file.

No other call sees the file before it is complete. A key sees only its own uploads, unless it is an admin key.
"""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from shutil import copyfileobj
from time import time
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.context.ingest.uploads import UploadedFile, Uploads
from gateway.context.store.chunk_owners import marks
from gateway.errors import BadRequest, CatalogUnavailable, NotFound

LIFETIME_S = 3600
"""An upload that is not complete after this time expires, as at OpenAI."""
SHOWN_S = 24 * 3600
"""How long an upload that is not pending any more can be named."""
MOST_PARTS = 1000
MOST_SENT = 2
"""The parts of an upload may together be this many times as large as its file, because a client sends a part again if
it gets no answer.
"""
PENDING, COMPLETED, CANCELLED, EXPIRED = "pending", "completed", "cancelled", "expired"
COLUMNS = "id, owner, name, bytes, purpose, created, expires, lifetime_s, status, file, part_ids"


class PartUpload(Struct, frozen=True):
    """An upload in parts. `bytes` is the size of the whole file, as the client announced it.

    `lifetime_s` is the time after which the file expires, or 0. `file` and `part_ids` (JSON) are set on completion.
    """

    id: str
    owner: str
    name: str
    bytes: int
    purpose: str
    created: int
    expires: int
    lifetime_s: int = 0
    status: str = PENDING
    file: str = ""
    part_ids: str = "[]"


class Part(Struct, frozen=True):
    id: str
    upload: str
    bytes: int
    created: int


class PartUploads:
    """The uploads in parts. All methods block."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._catalog = uploads.catalog

    def create(self, key: ClientKey, name: str, size: int, purpose: str, lifetime_s: int = 0) -> PartUpload:
        """Begin an upload of `size` bytes."""
        now = int(time())
        id = f"upload_{secrets.token_hex(12)}"
        upload = PartUpload(id, key.name, name, size, purpose, now, now + LIFETIME_S, lifetime_s)
        values = tuple(getattr(upload, column) for column in COLUMNS.split(", "))
        with self._catalog.writing() as database:
            database.execute(f"INSERT INTO part_uploads ({COLUMNS}) VALUES ({marks(values)})", values)
        return upload

    def get(self, id: str, key: ClientKey) -> PartUpload:
        """Return an upload. Raises `NotFound` if the key may not see it."""
        with self._catalog.reading() as database:
            return _upload(database, id, key)

    def pending(self, id: str, key: ClientKey) -> PartUpload:
        """Return an upload that takes parts. Raises `NotFound`, or `BadRequest` if it takes none any more."""
        return _must_be_pending(self.get(id, key))

    def add(self, id: str, key: ClientKey, draft: Path) -> Part:
        """Turn a draft into a part of an upload. Raises `BadRequest` if the upload takes no more parts."""
        part = Part(f"part_{secrets.token_hex(12)}", id, draft.stat().st_size, int(time()))
        path = self._path(part.id)
        try:
            with self._catalog.writing() as database:
                upload = _must_be_pending(_upload(database, id, key))
                count, size = database.execute(
                    "SELECT count(*), coalesce(sum(bytes), 0) FROM parts WHERE upload = ?", (id,)
                ).fetchone()
                _must_fit(upload, part, count, size)
                values = (part.id, part.upload, part.bytes, part.created)
                database.execute("INSERT INTO parts (id, upload, bytes, created) VALUES (?, ?, ?, ?)", values)
                draft.replace(path)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise CatalogUnavailable(str(path.parent), error.strerror or str(error)) from error
            raise
        return part

    def complete(
        self, id: str, key: ClientKey, part_ids: Sequence[str], md5: str = ""
    ) -> tuple[PartUpload, UploadedFile]:
        """Join the parts in the given order to one file. A second call with the same parts returns the same file.

        `md5` is the checksum of the whole file in hexadecimal digits, or "". Raises `BadRequest` if the parts, the size
        or the checksum do not fit; the upload then stays pending.
        """
        upload = self.get(id, key)
        if upload.status == COMPLETED and json.loads(upload.part_ids) == list(part_ids):
            file = self._uploads.by_id(upload.file)
            if file is not None:
                return upload, file
        _must_be_pending(upload)
        self._check(upload, part_ids)
        draft = self._uploads.draft()
        try:
            self._join(part_ids, draft, md5)
            completed = replace(upload, status=COMPLETED, part_ids=json.dumps(list(part_ids)))

            def record(database: sqlite3.Connection, file: UploadedFile) -> None:
                # a cancel or another complete may have been faster
                _must_be_pending(_upload(database, id, key))
                values = (COMPLETED, file.id, completed.part_ids, id)
                database.execute("UPDATE part_uploads SET status = ?, file = ?, part_ids = ? WHERE id = ?", values)

            owner = ClientKey(upload.owner)
            file = self._uploads.keep(draft, owner, upload.name, upload.purpose, upload.lifetime_s, record)
        except OSError as error:
            # the parts are gone if the upload was cancelled or completed in the meantime
            _must_be_pending(self.get(id, key))
            raise CatalogUnavailable(str(draft.parent), error.strerror or str(error)) from error
        finally:
            draft.unlink(missing_ok=True)
        self._drop_parts(id)
        return replace(completed, file=file.id), file

    def cancel(self, id: str, key: ClientKey) -> PartUpload:
        """Cancel a pending upload, and delete its parts. A second call returns the same."""
        with self._catalog.writing() as database:
            upload = _upload(database, id, key)
            if upload.status != CANCELLED:
                _must_be_pending(upload)
                database.execute("UPDATE part_uploads SET status = ? WHERE id = ?", (CANCELLED, id))
        self._drop_parts(id)
        return replace(upload, status=CANCELLED)

    def sweep(self) -> None:
        """Delete the parts of uploads that are not pending, and forget uploads that ended long ago."""
        now = int(time())
        with self._catalog.reading() as database:
            ended = database.execute(
                "SELECT DISTINCT upload FROM parts LEFT JOIN part_uploads u ON u.id = upload "
                "WHERE u.id IS NULL OR u.status != ? OR u.expires <= ?",
                (PENDING, now),
            ).fetchall()
            old = database.execute("SELECT id FROM part_uploads WHERE expires <= ?", (now - SHOWN_S,)).fetchall()
        for (id,) in ended:
            self._drop_parts(id)
        if old:
            with self._catalog.writing() as database:
                database.executemany("DELETE FROM part_uploads WHERE id = ?", old)

    def _check(self, upload: PartUpload, part_ids: Sequence[str]) -> None:
        if len(set(part_ids)) < len(part_ids):
            raise BadRequest("'part_ids' names a part twice.", param="part_ids")
        with self._catalog.reading() as database:
            sizes = dict(database.execute("SELECT id, bytes FROM parts WHERE upload = ?", (upload.id,)).fetchall())
        for id in part_ids:
            if id not in sizes:
                raise BadRequest(f"The upload '{upload.id}' has no part '{id}'.", param="part_ids")
        size = sum(sizes[id] for id in part_ids)
        if size != upload.bytes:
            raise BadRequest(
                f"The parts have {size} bytes together, but the upload was created with {upload.bytes} bytes.",
                param="part_ids",
            )

    def _join(self, part_ids: Sequence[str], draft: Path, md5: str) -> None:
        with draft.open("wb") as whole:
            for id in part_ids:
                with self._path(id).open("rb") as part:
                    copyfileobj(part, whole, 2**20)
        with draft.open("rb") as file:
            if md5 and _md5(file) != md5.lower():
                raise BadRequest("The checksum 'md5' is not that of the uploaded bytes.", param="md5")

    def _drop_parts(self, upload: str) -> None:
        with self._catalog.writing() as database:
            rows = database.execute("DELETE FROM parts WHERE upload = ? RETURNING id", (upload,)).fetchall()
        for (id,) in rows:
            self._path(id).unlink(missing_ok=True)

    def _path(self, part: str) -> Path:
        # if a crash leaves a part without a row, the ending lets `Uploads.sweep` delete it
        return self._uploads.folder / f"{part}.part"


def _md5(file: BufferedReader) -> str:
    return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _upload(database: sqlite3.Connection, id: str, key: ClientKey) -> PartUpload:
    row: tuple[Any, ...] | None = database.execute(
        f"SELECT {COLUMNS} FROM part_uploads WHERE id = ? AND (? OR owner = ?)", (id, key.admin, key.name)
    ).fetchone()
    if row is None:
        raise NotFound(f"No such Upload object: {id}", param="upload_id")
    upload = PartUpload(*row)
    has_expired = upload.status == PENDING and upload.expires <= int(time())
    return replace(upload, status=EXPIRED) if has_expired else upload


def _must_be_pending(upload: PartUpload) -> PartUpload:
    if upload.status != PENDING:
        raise BadRequest(f"The upload '{upload.id}' is {upload.status}. Create a new one.", param="upload_id")
    return upload


def _must_fit(upload: PartUpload, part: Part, count: int, size: int) -> None:
    """`count` and `size` are the number of parts before this one, and their bytes together."""
    if not part.bytes:
        raise BadRequest("The part is empty.", param="data")
    if part.bytes > upload.bytes or size + part.bytes > MOST_SENT * upload.bytes:
        raise BadRequest(f"The parts are larger than the {upload.bytes} bytes of the upload.", param="data")
    if count >= MOST_PARTS:
        raise BadRequest(f"An upload can have at most {MOST_PARTS} parts. Send larger ones.", param="data")
