"""Files that clients uploaded: rows in the catalog, bytes in a folder beside it, each its key's alone."""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any

from msgspec import Struct

from gateway.context.store.catalog import Catalog
from gateway.context.store.chunk_owners import groups, marks
from gateway.exchange import ClientKey


class UploadedFile(Struct, frozen=True):
    """An uploaded file. `expires` 0: never."""

    id: str
    owner: str
    name: str
    bytes: int
    purpose: str
    created: int
    expires: int = 0


COLUMNS = "id, owner, name, bytes, purpose, created, expires"


class Uploads:
    """Blocking."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.catalog = catalog
        self.folder = folder

    def draft(self) -> Path:
        """Where an upload may be written; `keep` makes a file of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{secrets.token_hex(8)}.part"

    def keep(self, draft: Path, key: ClientKey, name: str, purpose: str, expires_s: int = 0) -> UploadedFile:
        now = int(time())
        id = f"file-{secrets.token_hex(12)}"
        expires = now + expires_s if expires_s else 0
        file = UploadedFile(id, key.name, name, draft.stat().st_size, purpose, now, expires)
        draft.replace(self.path(file.id))
        with self.catalog.writing() as database:
            marks = ", ".join("?" * 7)
            values = (file.id, file.owner, file.name, file.bytes, file.purpose, file.created, file.expires)
            database.execute(f"INSERT INTO files ({COLUMNS}) VALUES ({marks})", values)
        return file

    def path(self, id: str) -> Path:
        return self.folder / id

    def get(self, id: str, key: ClientKey) -> UploadedFile | None:
        """A file that this key may see; another's does not exist for it."""
        return next(iter(self._rows("id = ? AND (? OR owner = ?)", id, key.admin, key.name)), None)

    def of_ids(self, ids: Sequence[str], key: ClientKey) -> Mapping[str, UploadedFile]:
        """By their ids, the files among these that this key may see."""
        rows = [
            file
            for some in groups(ids)
            for file in self._rows(f"id IN ({marks(some)}) AND (? OR owner = ?)", *some, key.admin, key.name)
        ]
        return {file.id: file for file in rows}

    def by_id(self, id: str) -> UploadedFile | None:
        return next(iter(self._rows("id = ?", id)), None)

    def all(self, key: ClientKey, purpose: str = "") -> list[UploadedFile]:
        """In the order in which they came."""
        condition = "(? OR owner = ?) AND (? = '' OR purpose = ?) ORDER BY created, rowid"
        return self._rows(condition, key.admin, key.name, purpose, purpose)

    def remove(self, id: str) -> None:
        self.path(id).unlink(missing_ok=True)
        with self.catalog.writing() as database:
            database.execute("DELETE FROM files WHERE id = ?", (id,))

    def sweep(self, drafts_older_s: float = 24 * 3600.0) -> Sequence[str]:
        """Delete what is over, and uploads that broke off; the ids of the files that went."""
        with self.catalog.reading() as database:
            rows = database.execute("SELECT id FROM files WHERE expires > 0 AND expires <= ?", (int(time()),))
            gone = [id for (id,) in rows]
        for id in gone:
            self.remove(id)
        for draft in self.folder.glob("*.part"):
            if draft.stat().st_mtime < time() - drafts_older_s:
                draft.unlink()
        return gone

    def _rows(self, condition: str, *values: Any) -> list[UploadedFile]:
        now = int(time())
        with self.catalog.reading() as database:
            rows = database.execute(
                f"SELECT {COLUMNS} FROM files WHERE (expires = 0 OR expires > ?) AND {condition}", (now, *values)
            )
            return [UploadedFile(*row) for row in rows]
