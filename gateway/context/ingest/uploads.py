"""Files that clients uploaded. The catalog has a row for each file, and a folder beside the catalog has the bytes.

A key sees only its own files, unless it is an admin key.
"""

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any

from msgspec import Struct

from gateway.ask import ClientKey
from gateway.context.store.catalog import Catalog
from gateway.context.store.chunk_owners import groups, marks
from gateway.errors import CatalogUnavailable


class UploadedFile(Struct, frozen=True):
    """An uploaded file. `expires` is 0 for a file that never expires."""

    id: str
    owner: str
    name: str
    bytes: int
    purpose: str
    created: int
    expires: int = 0


COLUMNS = "id, owner, name, bytes, purpose, created, expires"


class Uploads:
    """The uploaded files. All methods block."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.folder = folder

    def draft(self) -> Path:
        """Return a path for an upload in progress. `keep` turns this draft into an uploaded file."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogUnavailable(str(self.folder), error.strerror or str(error)) from error
        return self.folder / f"{secrets.token_hex(8)}.part"

    def keep(
        self,
        draft: Path,
        key: ClientKey,
        name: str,
        purpose: str,
        expires_s: int = 0,
        record: Callable[[sqlite3.Connection, UploadedFile], None] | None = None,
    ) -> UploadedFile:
        """Turn a draft into an uploaded file. The row and the bytes of the file are stored together, or not at all.

        `record` writes more rows in the same transaction. If it raises an error, nothing is stored.
        """
        now = int(time())
        id = f"file-{secrets.token_hex(12)}"
        expires = now + expires_s if expires_s else 0
        file = UploadedFile(id, key.name, name, draft.stat().st_size, purpose, now, expires)
        values = (file.id, file.owner, file.name, file.bytes, file.purpose, file.created, file.expires)
        try:
            with self.catalog.writing() as database:
                database.execute(f"INSERT INTO files ({COLUMNS}) VALUES ({marks(values)})", values)
                if record is not None:
                    record(database, file)
                draft.replace(self.path(file.id))
        except BaseException as error:
            self.path(file.id).unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise CatalogUnavailable(str(self.folder), error.strerror or str(error)) from error
            raise
        return file

    def path(self, id: str) -> Path:
        return self.folder / id

    def get(self, id: str, key: ClientKey) -> UploadedFile | None:
        """Return the file with this id, or None if this key may not see it."""
        return next(iter(self._rows("id = ? AND (? OR owner = ?)", id, key.admin, key.name)), None)

    def of_ids(self, ids: Sequence[str], key: ClientKey) -> Mapping[str, UploadedFile]:
        """Return the files by id. Files that this key may not see are left out."""
        rows = [
            file
            for some in groups(ids)
            for file in self._rows(f"id IN ({marks(some)}) AND (? OR owner = ?)", *some, key.admin, key.name)
        ]
        return {file.id: file for file in rows}

    def by_id(self, id: str) -> UploadedFile | None:
        return next(iter(self._rows("id = ?", id)), None)

    def all(self, key: ClientKey, purpose: str = "") -> list[UploadedFile]:
        """Return the files that this key may see, oldest first."""
        condition = "(? OR owner = ?) AND (? = '' OR purpose = ?) ORDER BY created, rowid"
        return self._rows(condition, key.admin, key.name, purpose, purpose)

    def remove(self, id: str) -> None:
        with self.catalog.writing() as database:
            database.execute("DELETE FROM files WHERE id = ?", (id,))
        self.path(id).unlink(missing_ok=True)

    def expired(self) -> Sequence[str]:
        with self.catalog.reading() as database:
            rows = database.execute("SELECT id FROM files WHERE expires > 0 AND expires <= ?", (int(time()),))
            return [id for (id,) in rows]

    def sweep(self, older_s: float = 24 * 3600.0) -> None:
        """Delete what crashes left behind: drafts, and stored bytes without a row."""
        with self.catalog.reading() as database:
            known = {id for (id,) in database.execute("SELECT id FROM files")}
        # if there are no rows at all, the catalog may be lost, and these files may be all that is left
        pattern = "*" if known else "*.part"
        for path in self.folder.glob(pattern):
            if path.name not in known and _is_older(path, older_s):
                path.unlink(missing_ok=True)

    def _rows(self, condition: str, *values: Any) -> list[UploadedFile]:
        now = int(time())
        with self.catalog.reading() as database:
            rows = database.execute(
                f"SELECT {COLUMNS} FROM files WHERE (expires = 0 OR expires > ?) AND {condition}", (now, *values)
            )
            return [UploadedFile(*row) for row in rows]


def _is_older(path: Path, age_s: float) -> bool:
    try:
        return path.is_file() and path.stat().st_mtime < time() - age_s
    except FileNotFoundError:
        return False
