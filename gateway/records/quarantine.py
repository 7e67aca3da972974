"""Sets aside records that the database can never store, so that they do not block other records."""

import logging
import os
from pathlib import Path

from gateway.records.segments import folder_bytes

log = logging.getLogger("foreword.drain")

FOLDER = "quarantine"
SUFFIX = ".record"
LIMIT_BYTES = 256 * 1024 * 1024
"""The largest size of the folder. If the folder is full, records are only logged and counted, so that hostile answers
cannot fill the disk."""


class Quarantine:
    """A folder next to the segment files, with one file per record. Only the owner can read the folder and files."""

    def __init__(self, spool_folder: Path) -> None:
        self.folder = spool_folder / FOLDER

    def add(self, name: str, payload: memoryview, reason: str) -> None:
        """Write a frame's payload to `NAME.record`, or only log the record if the folder is full.

        If a segment is read again, the same files are overwritten.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        full = folder_bytes(self.folder) + len(payload) > LIMIT_BYTES
        place = "the log only, because the quarantine is full" if full else f"{FOLDER}/{name}{SUFFIX}"
        log.error("a record of %d bytes is set aside in %s: %s", len(payload), place, reason)
        if not full:
            _write(self.folder / f"{name}{SUFFIX}", payload)


def _write(file: Path, payload: memoryview) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as out:
        out.write(payload)
