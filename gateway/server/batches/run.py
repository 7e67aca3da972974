"""Executes the batches in the background, line by line, behind the live requests."""

import asyncio
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import perf_counter_ns, time

from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.errors import LimitReached, RequestError
from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome
from gateway.server.access import Access
from gateway.server.answer import Decode
from gateway.server.batches.store import BatchesUnavailable, BatchStore, StoredBatch
from gateway.server.passing.ownership import check_stored, may_refer
from gateway.wire import batches as wire
from gateway.wire import errors

log = logging.getLogger("foreword.batches")

LOOK_S = 1.0
"""How often a worker looks for a batch to execute."""
RENEW_S = 3.0
BUSY_S = 0.05
PATIENCE_S = 5.0
"""Under steady load, a line begins at least this often, in seconds."""
TURN_S = 30.0
"""A batch that was executed for this long waits while another key's batch waits for a worker."""
AGAIN_S = 30.0
"""After this time, a batch that failed because of the gateway itself is tried again."""
TRIES = 3
"""How often a line is tried that a backend refuses for the moment."""
MOMENTARY = (408, 429, 500, 502, 503, 504, 529)
OPEN = ("in_progress", "validating")


class BatchRunner:
    """Executes one batch at a time, with a few lines at the same time. Keys take turns."""

    def __init__(self, gateway: Gateway, access: Access, store: BatchStore, decoders: Mapping[str, Decode]) -> None:
        """`decoders` maps each endpoint, such as `/v1/embeddings`, to the function that reads its requests."""
        self._gateway = gateway
        self._access = access
        self._store = store
        self._decoders = decoders
        self._settings = gateway.settings.batches
        self._worker = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._running = 0
        """The lines that this worker executes now."""

    async def run(self) -> None:
        """Execute batches until the gateway drains, or the task is cancelled. Lines without a result are executed again
        by another worker, or after a restart.
        """
        try:
            while not self._gateway.readiness.draining:
                batch = None
                try:
                    batch = await asyncio.to_thread(self._store.take, self._worker)
                    if batch is not None:
                        await self._execute(batch)
                        continue
                except Exception:  # a batch must not end all batches
                    log.exception("a batch failed, and is tried again")
                    if batch is not None:
                        with suppress(BatchesUnavailable):  # the other batches come first
                            await asyncio.to_thread(self._store.postpone, batch.id, AGAIN_S)
                await asyncio.sleep(LOOK_S)
        finally:
            await asyncio.shield(asyncio.to_thread(self._store.release, self._worker))

    async def _execute(self, batch: StoredBatch) -> None:
        """Execute the lines of a batch that have no result, and end the batch."""
        key, path = self._access.by_name(batch.owner), self._input(batch)
        if key is None or path is None:
            what = "The batch's key no longer exists." if key is None else "The batch's file no longer exists."
            await self._fail(batch, [{"code": "invalid_batch", "message": what, "param": None, "line": None}])
            return
        is_checked = "in_progress" in batch.times
        if batch.status == "validating":
            is_checked = True
            wrong = await asyncio.to_thread(self._faults, batch, path)
            if wrong:
                await self._fail(batch, wrong)
                return
            total = await asyncio.to_thread(lambda: sum(1 for _ in _lines(path)))
            start = self._store.set_status
            await asyncio.to_thread(lambda: start(batch.id, "in_progress", only_from=("validating",), total=total))
        done = await asyncio.to_thread(self._store.done, batch.id)
        status = await self._lines_of(batch, key, path, done)
        if not status:
            return  # another worker goes on, another key has its turn, or this worker is shutting down
        if status in ("cancelling", "expired") and is_checked:  # lines that were not checked may be no JSON
            await asyncio.to_thread(self._leave_out, batch, path, status)
        await self._end(batch, key, {"cancelling": "cancelled", "expired": "expired"}.get(status, "completed"))

    async def _lines_of(self, batch: StoredBatch, key: ClientKey, path: Path, done: set[int]) -> str:
        """Execute lines until all have a result, or the batch is cancelled or expires. Return the batch's status, or ""
        if this worker must not go on."""
        status = "in_progress"
        pending: set[asyncio.Task[None]] = set()
        renewed = begun = 0.0
        turn_ends, is_others_turn = asyncio.get_running_loop().time() + TURN_S, False
        lines = _lines(path)
        number, at_end = 0, False
        try:
            # the lease is renewed until the last line is done
            while True:
                now = asyncio.get_running_loop().time()
                if now - renewed > RENEW_S or not renewed:
                    renewed = now
                    status = await asyncio.to_thread(self._store.renew, batch.id, self._worker)
                    if not status or self._gateway.readiness.draining:
                        return ""
                    if now > turn_ends and not is_others_turn:
                        is_others_turn = await asyncio.to_thread(self._store.others_wait, batch.owner)
                if batch.expires <= time():
                    status = "expired"
                is_over = at_end or status not in OPEN
                if (is_over or is_others_turn) and not pending:
                    if is_over:
                        return status
                    await asyncio.to_thread(self._store.end_turn, batch.id, self._worker)
                    return ""
                is_busy = self._is_busy() and now - begun < PATIENCE_S
                if is_over or is_others_turn or is_busy or len(pending) >= self._settings.parallel:
                    await self._wait(pending)
                    continue
                raw = await asyncio.to_thread(next, lines, None)
                if raw is None:
                    at_end = True
                    continue
                number += 1
                if number not in done:
                    begun = now
                    pending.add(asyncio.create_task(self._line(batch, key, number, raw)))
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def _is_busy(self) -> bool:
        """Whether live requests come first now."""
        return self._gateway.in_flight > self._settings.busy_above

    async def _wait(self, pending: set[asyncio.Task[None]]) -> None:
        """Wait until a line is done, but not longer than a moment, and forget the lines that are done."""
        if pending:
            await asyncio.wait(pending, timeout=BUSY_S, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(BUSY_S)
        for task in [task for task in pending if task.done()]:
            pending.discard(task)
            task.result()

    async def _line(self, batch: StoredBatch, key: ClientKey, number: int, raw: bytes) -> None:
        line = wire.line_of(raw)
        for attempt in range(TRIES):
            id, status, body = await self._answer(batch, key, bytes(line.body))
            if status not in MOMENTARY or attempt == TRIES - 1:
                break
            await asyncio.sleep(2.0**attempt)
        result = wire.result(line.custom_id, id, status, body)
        await asyncio.to_thread(self._store.add, batch.id, number, status < 300, result)

    async def _answer(self, batch: StoredBatch, key: ClientKey, raw: bytes) -> tuple[str, int, bytes]:
        """Answer one line as a live request is answered. Return the exchange, the status and the body."""
        gateway = self._gateway
        id, began = "fw-" + os.urandom(12).hex(), perf_counter_ns()
        ending, error_text, backend, model, kind = "finished", "", "", "", b"application/json"
        exchange: Exchange | None = None
        try:
            await self._admit(key)
            ask = self._decoders[batch.endpoint](raw, {})
            exchange = Exchange(id, ask, key, started_s=time()).noted("batch", "line", batch.id)
            if not key.admin and may_refer(raw):
                await check_stored(gateway.objects, key, raw)
            exchange = await gateway.prepare(exchange)
            exchange, reply = await gateway.perform(exchange, ())
            status, body, backend, model = reply.status, reply.body, reply.backend, reply.model
            if reply.pieces is not None:
                try:
                    body = b"".join([piece async for piece in reply.pieces])
                finally:
                    await reply.aclose()
            kind = dict(reply.headers).get(b"content-type", kind)
        except RequestError as error:
            if exchange is not None:
                exchange = replace(exchange, calls=(*exchange.calls, *error.calls))
            ending, error_text, status, body = "failed", error.message, error.status, errors.envelope(error)
        except Exception as error:
            log.exception("the gateway itself failed on a line", extra={"exchange": id})
            failed = RequestError("The gateway failed on this request. The gateway's log has the reason.")
            ending, error_text, status, body = "failed", type(error).__name__, 500, errors.envelope(failed)
        if exchange is not None:
            total_us = (perf_counter_ns() - began) // 1000
            outcome = ExchangeOutcome(
                ending, status, backend, model, kind.decode("latin-1"), body=body, error=error_text, total_us=total_us
            )
            gateway.over(exchange, outcome)
        return id, status, body

    async def _admit(self, key: ClientKey) -> None:
        """Count the line against the key's limit. Wait while the limit is reached."""
        while True:
            try:
                await self._access.count(key)
                return
            except LimitReached as error:
                await asyncio.sleep(max(0.1, error.retry_after_s))

    async def _fail(self, batch: StoredBatch, wrong: list[dict[str, object]]) -> None:
        text = wire.encoded(wrong)
        await asyncio.to_thread(lambda: self._store.set_status(batch.id, "failed", errors=text))

    async def _end(self, batch: StoredBatch, key: ClientKey, status: str) -> None:
        """Write the results to files of the key, and set the last status."""
        self_set = self._store.set_status
        if status == "completed":
            await asyncio.to_thread(lambda: self_set(batch.id, "finalizing", only_from=("in_progress",)))
        output = await asyncio.to_thread(self._keep, batch, key, True)
        wrong = await asyncio.to_thread(self._keep, batch, key, False)
        await asyncio.to_thread(lambda: self_set(batch.id, status, output_file=output, error_file=wrong))

    def _keep(self, batch: StoredBatch, key: ClientKey, ok: bool) -> str:
        """Store the results as a file, and return its id, or "" if there are none."""
        assert self._gateway.intake is not None
        uploads = self._gateway.intake.uploads
        draft = uploads.draft()
        try:
            if not self._store.write(batch.id, ok, draft):
                return ""
            name = f"{batch.id}_{'output' if ok else 'error'}.jsonl"
            return uploads.keep(draft, key, name, "batch_output").id
        finally:
            draft.unlink(missing_ok=True)

    def _leave_out(self, batch: StoredBatch, path: Path, status: str) -> None:
        """Store an error for each line that was not executed."""
        done = self._store.done(batch.id)
        code = "batch_cancelled" if status == "cancelling" else "batch_expired"
        message = f"This line was not executed before the batch was {status.replace('cancelling', 'cancelled')}."
        self._store.add_failures(
            batch.id,
            (
                (number, wire.unanswered(wire.line_of(raw).custom_id, number, code, message))
                for number, raw in enumerate(_lines(path), 1)
                if number not in done
            ),
        )

    def _faults(self, batch: StoredBatch, path: Path) -> list[dict[str, object]]:
        wrong = wire.faults(_lines(path), batch.endpoint, self._settings.max_lines)
        return list(islice(wrong, wire.MOST_ERRORS))

    def _input(self, batch: StoredBatch) -> Path | None:
        assert self._gateway.intake is not None
        uploads = self._gateway.intake.uploads
        return uploads.path(batch.input_file) if uploads.by_id(batch.input_file) is not None else None


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that are not empty."""
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield line.strip()
