"""Takes attached files in, one after the other, in the background of the server.

What is still to be done stands in the catalog: a gateway that was ended goes on with it when it starts.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gateway.context.embedding.batcher import Batcher
from gateway.context.ingest.attachments import CANCELLED, COMPLETED, FAILED, IN_PROGRESS, Attachment, Attachments
from gateway.context.ingest.ingest import Ingest, IngestItem, Progress
from gateway.context.ingest.uploads import Uploads
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections
from gateway.errors import CollectionError

if TYPE_CHECKING:
    from gateway.ports import Vectors

log = logging.getLogger("foreword.intake")

SWEEP_S = 600.0
"""How often what is over is deleted, and what other processes attached is looked for."""


class IngestStopped(Exception):
    """The gateway ends, or nobody wants this file any more."""


class BackgroundEmbedder:
    """The gateway's own embedder for documents: queries go before their batches."""

    def __init__(self, batcher: Batcher) -> None:
        self.name = batcher.embedder.name
        self.dimensions = batcher.embedder.dimensions
        self.window_tokens = batcher.embedder.window_tokens
        self.count_tokens = batcher.embedder.count_tokens
        self._batcher = batcher

    def embed(self, texts: Sequence[str]) -> "Vectors":
        return self._batcher.embed_sync(texts)


class BackgroundIngest:
    """Belongs to one event loop. Who opens it closes it."""

    def __init__(
        self, collections: Collections, uploads: Uploads, ingest: Ingest, close: Callable[[], None] = lambda: None
    ) -> None:
        """`close` is called at the end, for what the ingest reads with."""
        self.collections = collections
        self.uploads = uploads
        self.attachments = Attachments(collections.catalog)
        self._ingest = ingest
        self._close = close
        self._more = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="intake")

    async def aclose(self) -> None:
        """Ends at the next batch of chunks; the rest is done after the next start."""
        self._stopping = True
        self._more.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._close)

    def wake(self) -> None:
        """Something was attached."""
        self._more.set()

    async def _run(self) -> None:
        while not self._stopping:
            self._more.clear()
            try:
                await asyncio.to_thread(self._work_off)
            except Exception:
                log.exception("attached files wait: the catalog cannot be used")
            if not self._stopping:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(SWEEP_S):
                await self._more.wait()
        except TimeoutError:
            return

    def _work_off(self) -> None:
        self.collections.sweep()
        for file in self.uploads.sweep():
            self.forget(file)
        while not self._stopping and (waiting := self.attachments.waiting()):
            for one in waiting:
                if self._stopping:
                    return
                self._take_in(one)

    def _take_in(self, one: Attachment) -> None:
        collection = self.collections.catalog.collection(one.collection)
        file = self.uploads.by_id(one.file)
        if collection is None:
            self.attachments.detach(one.collection, one.file)
        elif file is None:
            self.attachments.settle(one, FAILED, "invalid_file", "The file was deleted before it was read.")
        else:
            item = IngestItem(self.uploads.path(file.id), file.id, file.name, file.id, one.attributes, one.cut)
            self._settle(one, collection, item)

    def _settle(self, one: Attachment, collection: Collection, item: IngestItem) -> None:
        def on_progress(_now: Progress) -> None:
            known = self.attachments.get(one.collection, one.file)
            if self._stopping or known is None or known.status == CANCELLED:
                raise IngestStopped

        try:
            (added,) = self._ingest.add(collection, [item], on_progress)
        except IngestStopped:
            return
        except CollectionError as error:
            self.attachments.settle(one, FAILED, "server_error", str(error))
        except Exception:
            log.exception("a file could not be taken in", extra={"file": one.file})
            self.attachments.settle(one, FAILED, "server_error", "The gateway failed on it; its log has the reason.")
        else:
            if added.state == "failed":
                self.attachments.settle(one, FAILED, "invalid_file", added.reason)
                return
            self.attachments.settle(one, COMPLETED)
            self._undo_if_gone(one)

    def _undo_if_gone(self, one: Attachment) -> None:
        """It may have been detached or cancelled while its last chunks went in."""
        known = self.attachments.get(one.collection, one.file)
        if known is None or known.status not in (COMPLETED, IN_PROGRESS):
            self.take_out(one.collection, one.file)

    def take_out(self, collection: str, file: str) -> None:
        """Delete a file's chunks from a collection."""
        row = self.collections.documents(collection).live_at(file)
        if row is not None:
            self.collections.clear(collection, [row.key])

    def forget(self, file: str) -> None:
        """A file is deleted: it leaves every collection, as its owner expects of a deletion."""
        for one in self.attachments.having(file):
            self.attachments.detach(one.collection, file)
            self.take_out(one.collection, file)
