"""Runs a blocking `Embedder` on one worker thread, so that the event loop never waits for the embedder.

Calls that come while a batch runs form the next batch. Short calls, such as queries, go before long ones, such as
documents. Recent embeddings are cached.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.errors import NotReady
from gateway.ports import Embedder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ports import Vectors

SHORT_CALL = 4  # texts; a call with at most this many does not wait for a document
REMEMBERED_CHARACTERS = 2000  # a longer text is a document, which is rarely embedded twice


class Batcher:
    """Embeds texts: `await embed(texts)` on the event loop, `embed_sync(texts)` on any other thread.

    At most `queue` texts wait. A call that would exceed this limit is refused with `NotReady`. A batch has at most
    `batch` texts and about `characters` characters, so that no query waits long for a document. A batcher belongs to
    one event loop; `aclose` ends its thread.
    """

    def __init__(
        self, embedder: Embedder, *, batch: int = 32, characters: int = 4000, queue: int = 4096, remember: int = 1024
    ) -> None:
        self.embedder = embedder
        self._batch = batch
        self._characters = characters
        self._queue = queue
        self._remember = remember
        self._remembered: OrderedDict[str, Vectors] = OrderedDict()
        self._waiting: OrderedDict[str, asyncio.Future[Vectors]] = OrderedDict()
        self._running: dict[str, asyncio.Future[Vectors]] = {}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self._turn: asyncio.Task[None] | None = None
        self._closed = False

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors [texts, dimensions]. Raises `NotReady` if too many texts wait, or after `aclose`."""
        import numpy as np

        rows = [self._remembered.get(text) for text in texts]
        if any(row is None for row in rows):
            futures = self._enqueue(texts)
            # Shielded, since another call may wait for the same text.
            rows = [await asyncio.shield(future) for future in futures]
        else:
            for text in texts:
                self._remembered.move_to_end(text)
        if not rows:
            return np.zeros((0, self.embedder.dimensions), np.float32)
        return np.stack([row for row in rows if row is not None])

    def embed_sync(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors [texts, dimensions] to a caller outside the event loop.

        The texts are embedded in several batches on the same worker thread.
        """
        import numpy as np

        if self._closed:
            raise NotReady("the embedder is closed")
        vectors = [np.zeros((0, self.embedder.dimensions), np.float32)]
        rest = list(texts)
        while rest:
            piece = self._first(rest)
            rest = rest[len(piece) :]
            vectors.append(self._worker.submit(self.embedder.embed, piece).result())
        return np.concatenate(vectors)

    async def aclose(self) -> None:
        """Finish the running batch, let the waiting calls fail with `NotReady`, and end the thread."""
        if self._closed:
            return
        self._closed = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(NotReady("the embedder was closed"))
        self._waiting.clear()
        if self._turn is not None:
            await asyncio.gather(self._turn, return_exceptions=True)
        await asyncio.to_thread(self._worker.shutdown)

    def _enqueue(self, texts: Sequence[str]) -> list[asyncio.Future[Vectors]]:
        if self._closed:
            raise NotReady("the embedder is closed")
        if len(self._waiting) >= self._queue:
            raise NotReady(f"{len(self._waiting)} texts are waiting to be embedded", retry_after_s=1.0)
        futures = [self._future(text, urgent=len(texts) <= SHORT_CALL) for text in texts]
        if self._waiting and (self._turn is None or self._turn.done()):
            self._turn = asyncio.create_task(self._work_off(), name="embed")
        return futures

    def _future(self, text: str, urgent: bool) -> asyncio.Future[Vectors]:
        known = self._waiting.get(text) or self._running.get(text)
        if known is not None:
            if urgent and text in self._waiting:
                self._waiting.move_to_end(text, last=False)
            return known
        future: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        remembered = self._remembered.get(text)
        if remembered is not None:
            future.set_result(remembered)
            return future
        # Every exception is retrieved, since asyncio warns of an exception that nobody has retrieved.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._waiting[text] = future
        if urgent:
            self._waiting.move_to_end(text, last=False)
        return future

    async def _work_off(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            texts = self._first(self._waiting)
            self._running = {text: self._waiting.pop(text) for text in texts}
            try:
                vectors = await loop.run_in_executor(self._worker, self.embedder.embed, texts)
            except Exception as error:
                for future in self._running.values():
                    future.set_exception(error)
            else:
                for text, vector in zip(texts, vectors, strict=True):
                    self._running[text].set_result(vector)
                    self._keep(text, vector)
            finally:
                self._running = {}

    def _first(self, texts: Iterable[str]) -> list[str]:
        """Take the texts of the next batch, at least one."""
        chosen: list[str] = []
        characters = 0
        for text in texts:
            characters += len(text)
            if chosen and (len(chosen) == self._batch or characters > self._characters):
                break
            chosen.append(text)
        return chosen

    def _keep(self, text: str, vector: Vectors) -> None:
        if len(text) > REMEMBERED_CHARACTERS:
            return
        # A copy, since a single row would keep its whole batch in memory.
        self._remembered[text] = vector.copy()
        if len(self._remembered) > self._remember:
            self._remembered.popitem(last=False)
