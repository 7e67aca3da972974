"""Ingests attached files in the background of the server, one by one. Client keys take turns. Several files are read
ahead.

Waiting files are listed in the catalog, so that ingestion continues after a restart.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.context.embedding.batcher import Batcher
from gateway.context.ingest.attachments import CANCELLED, COMPLETED, FAILED, Attachment, Attachments
from gateway.context.ingest.ingest import AddedFile, Ingest, IngestItem, OnProgress, Progress
from gateway.context.ingest.part_uploads import PartUploads
from gateway.context.ingest.read_ahead import FileBeingRead, ReadAhead
from gateway.context.ingest.uploads import Uploads
from gateway.context.reading.document import Document
from gateway.context.reading.summary import report_values
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections
from gateway.errors import CatalogUnavailable, CollectionError, DocumentGone

if TYPE_CHECKING:
    from gateway.ports import Vectors

log = logging.getLogger("foreword.intake")

SWEEP_S = 600.0
"""The time between two rounds. A round deletes expired files and ingests files that other processes attached."""
RETRY_S = 5.0
"""The pause in seconds after a failure of the catalog."""
TURN_S = 60.0
"""The length of a turn in seconds. When a turn ends, waiting files of other keys come first. The file continues at its
key's next turn.

The time is measured from the end of the turn's first batch, so that each turn makes progress.
"""


LONGEST_S = 3600.0
"""The time limit for all work on one file, including its reading."""
DELETED = "The file was deleted before it was read."


class IngestStopped(Exception):
    """Raised when the gateway stops, or when another key's turn begins. The next ingest of the file continues at the
    next chunk.
    """


class BackgroundEmbedder:
    """Embeds documents with the gateway's embedder. Queries go before documents."""

    def __init__(self, batcher: Batcher) -> None:
        self.name = batcher.embedder.name
        self.dimensions = batcher.embedder.dimensions
        self.window_tokens = batcher.embedder.window_tokens
        self.count_tokens = batcher.embedder.count_tokens
        self._batcher = batcher

    def embed(self, texts: Sequence[str]) -> "Vectors":
        return self._batcher.embed_sync(texts)


class BackgroundIngest:
    """Ingests attached files in the background, on one event loop. The caller of `open` also calls `aclose`."""

    def __init__(
        self,
        collections: Collections,
        uploads: Uploads,
        ingest: Ingest,
        close: Callable[[], None] = lambda: None,
        *,
        readers: int = 1,
        longest_s: float = LONGEST_S,
    ) -> None:
        """`close` ends the processes that read files. `readers` is the number of files that `ingest.read` can read at a
        time. `longest_s` limits the work on one file.
        """
        self.collections = collections
        self.uploads = uploads
        self.part_uploads = PartUploads(uploads)
        self.attachments = Attachments(collections.catalog)
        self._ingest = ingest
        self._close = close
        self._longest_s = longest_s
        self._spent_s: dict[tuple[str, str], float] = {}
        """The seconds that earlier turns of each file took, by collection and file."""
        self._ahead = ReadAhead(self._load, readers)
        self._more = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="intake")

    async def aclose(self) -> None:
        """Stop after the current batch of chunks. After the next start, the work continues from there."""
        self._stopping = True
        self._more.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._close)
        await asyncio.to_thread(self._ahead.close)

    def wake(self) -> None:
        """Start a round now. Call this after attaching files."""
        self._more.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._more.clear()
            pause_s = SWEEP_S
            try:
                await asyncio.to_thread(self._work_off)
            except CatalogUnavailable as error:
                log.error("attached files wait: %s", error)
                pause_s = RETRY_S
            except Exception:
                log.exception("attached files wait: the catalog cannot be used")
                pause_s = RETRY_S
            if not self._stopping:
                await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._more.wait()
        except TimeoutError:
            return

    def _work_off(self) -> None:
        self.collections.sweep()
        for file in self.uploads.expired():
            self.forget(file)
        self.part_uploads.sweep()
        self.uploads.sweep()
        # these documents remain if a gateway is killed before it can delete them
        for collection, document in self.attachments.abandoned():
            self.collections.clear(collection, [document])
        while not self._stopping:
            self._ahead.fill(self._following)
            if self._ahead.is_empty:
                return
            read = self._ahead.taken()
            if read is not None and not self._stopping:
                self._ingest_file(read)

    def _following(self, served: str, busy: list[Attachment]) -> tuple[Attachment, str] | None:
        """Return the next file to read and the key that owns it, or None if no file waits."""
        attachment = self.attachments.next_waiting(served, busy)
        if attachment is None:
            return None
        collection = self.collections.catalog.collection(attachment.collection)
        return attachment, collection.owner if collection else ""

    def _load(self, attachment: Attachment) -> Document:
        file = self.uploads.by_id(attachment.file)
        if file is None:
            raise CollectionError(DELETED)
        return self._ingest.read(self.uploads.path(file.id), file.name)

    def _ingest_file(self, read: FileBeingRead) -> None:
        attachment = read.attachment
        collection = self.collections.catalog.collection(attachment.collection)
        file = self.uploads.by_id(attachment.file)
        if collection is None:
            self.attachments.detach(attachment.collection, attachment.file)
        elif file is None:
            self.attachments.settle(attachment, FAILED, "invalid_file", DELETED)
        else:
            path = self.uploads.path(file.id)
            item = IngestItem(path, file.id, file.name, file.id, attachment.attributes, attachment.cut)
            self._settle(read, collection, item)

    def _settle(self, read: FileBeingRead, collection: Collection, item: IngestItem) -> None:
        attachment = read.attachment
        ingest = replace(self._ingest, read=lambda *_: read.document.result())
        try:
            (report,) = ingest.add(collection, [item], self._watch(read, collection))
        except (IngestStopped, DocumentGone):
            return
        except CatalogUnavailable:
            raise
        except CollectionError as error:
            self.attachments.settle(attachment, FAILED, "server_error", str(error))
            self.take_out(attachment.collection, attachment.file)
        except Exception:
            log.exception("a file could not be ingested", extra={"file": attachment.file})
            reason = "The gateway could not ingest the file; its log has the reason."
            self.attachments.settle(attachment, FAILED, "server_error", reason)
        else:
            self._report(attachment, report)

    def _watch(self, read: FileBeingRead, collection: Collection) -> OnProgress:
        """Return a callback that runs after each batch.

        The callback raises an exception if the file is no longer wanted, if its time limit is exceeded, or if its turn
        is over and another key waits.
        """
        attachment = read.attachment
        name = attachment.collection, attachment.file
        turn = IngestTurn(TURN_S)
        began = monotonic() - read.took_s - self._spent_s.pop(name, 0.0)

        def on_progress(now: Progress) -> None:
            if not self._is_wanted(attachment):
                raise DocumentGone("The file was detached while it was being added.")
            if self._stopping:
                raise IngestStopped
            if now.done and monotonic() - began > self._longest_s:
                raise _too_slow(self._longest_s)
            if turn.is_over(now) and self._another_waits(collection.owner):
                self._spent_s[name] = monotonic() - began
                raise IngestStopped

        return on_progress

    def _report(self, attachment: Attachment, report: AddedFile) -> None:
        if report.state == "failed":
            self.attachments.settle(attachment, FAILED, "invalid_file", report.reason)
            return
        values = report_values(report.report)
        self.attachments.settle(attachment, COMPLETED, error=json.dumps(values, ensure_ascii=False) if values else "")
        # the file may have been detached or cancelled while its last chunks were being stored
        if not self._is_wanted(attachment):
            self.take_out(attachment.collection, attachment.file)

    def _is_wanted(self, attachment: Attachment) -> bool:
        known = self.attachments.get(attachment.collection, attachment.file)
        return known is not None and known.status != CANCELLED

    def _another_waits(self, owner: str) -> bool:
        waiting = self.attachments.next_waiting(owner)
        collection = self.collections.catalog.collection(waiting.collection) if waiting else None
        return collection is not None and collection.owner != owner

    def take_out(self, collection: str, file: str) -> None:
        """Delete a file's chunks from a collection, including those of an unfinished ingest."""
        rows = self.collections.documents(collection).at(file)
        self.collections.clear(collection, [row.key for row in rows])

    def forget(self, file: str) -> None:
        """Delete a file from every collection, and then the file itself."""
        for attachment in self.attachments.having(file):
            # detached first, so that a running ingest stops and deletes what it has stored
            self.attachments.detach(attachment.collection, file)
            self.take_out(attachment.collection, file)
        self.uploads.remove(file)


def _too_slow(longest_s: float) -> CollectionError:
    return CollectionError(
        f"Adding it took longer than {longest_s / 60:g} minutes, the limit for one file. Split it into smaller files."
    )


class IngestTurn:
    """One turn of a file. The turn ends `duration_s` after the first batch. If the first batch took longer than
    `duration_s`, the rest of the turn may take as long as that batch.
    """

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s
        self._began = monotonic()
        self._deadline: float | None = None

    def is_over(self, now: Progress) -> bool:
        if not now.done:
            return False
        if self._deadline is None:
            self._deadline = monotonic() + max(self._duration_s, monotonic() - self._began)
        return monotonic() > self._deadline
