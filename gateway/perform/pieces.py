"""Performs a task on a long text piece by piece, and joins the answers in the order of the text.

Each call is the client's own request with one piece in place of the text. A few pieces are processed at the same time.
An answer is sent as soon as all answers before it are sent. If an answer is cut at its token limit, the piece is
divided into halves, and each half is processed. If a piece fails twice, the whole answer fails, since an incomplete
answer would look complete.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Mode, Turn
from gateway.backends.as_events import streamed_headers
from gateway.backends.call import Caller, without_idempotency_key
from gateway.context.pieces.cut import halves
from gateway.context.pieces.stitch import Stitcher
from gateway.errors import AnswerLost, BackendFailed
from gateway.exchange import Exchange, Note, PiecePlan, Sampling, TextPiece
from gateway.ports import Headers, Reply
from gateway.wire.chat import joined, next_draw
from gateway.wire.chat.answer import read_answer

STAGE = "pieces"
CUT = "length"
SMALLEST = 200
"""A piece of at most this many characters is not divided further."""
JSON = (b"content-type", b"application/json")


class PieceAnswer(Struct, frozen=True):
    """The answer to one piece. `tokens` holds the prompt tokens and the answer tokens of all calls for the piece."""

    text: str
    tokens: tuple[int, int] = (0, 0)
    written: int = 0
    """The number of tokens in `text`."""
    calls: int = 1
    is_cut: bool = False
    """Whether the answer is cut at its token limit, because the piece could not be divided further."""


class PieceRefused(Exception):
    """The backend refused a call for a piece. `reply` is the backend's answer to that call."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"refused with {reply.status}")
        self.reply = reply


class PieceWork:
    """Answers one exchange piece by piece."""

    def __init__(
        self, exchange: Exchange, plan: PiecePlan, headers: Headers, caller: Caller, at_once: asyncio.Semaphore
    ) -> None:
        self._exchange = exchange
        self._plan = plan
        self._headers = without_idempotency_key(headers)
        self._caller = caller
        self._at_once = at_once
        self._stitcher = Stitcher()
        self._answers: list[PieceAnswer] = []
        self._is_over = False
        self._spare = plan.spare_calls
        self._notes: list[Note] = []
        self.reply = Reply(200, ())

    async def perform(self) -> Reply:
        """Return the joined reply, as a stream if the client wants one.

        The answer to the first piece is awaited here. If the backend refuses the first piece, the backend's reply is
        returned.
        """
        texts = self._texts()
        try:
            first = await anext(texts)
        except PieceRefused as refused:
            return refused.reply
        reply, streams = self.reply, self._exchange.ask.stream
        if streams:
            pieces = self._events(first, texts)
            return replace(reply, headers=streamed_headers(reply.headers), body=b"", pieces=pieces, notes=self._notes)
        rest = [text async for text in texts]
        body = joined.completion(self._head, "".join([first, *rest]), self._usage, self._finish)
        headers = (*[pair for pair in reply.headers if pair[0].lower() not in joined.OF_THE_BODY], JSON)
        return replace(reply, headers=headers, body=body, notes=[self._note()])

    async def _events(self, first: str, texts: AsyncIterator[str]) -> AsyncIterator[bytes]:
        yield joined.event(self._head, first, begins=True)
        try:
            async for text in texts:
                if text:
                    yield joined.event(self._head, text)
        except PieceRefused as refused:
            raise BackendFailed(f"The backend refused a piece of the text with {refused.reply.status}.") from refused
        self._notes.append(self._note())
        usage = self._usage if next_draw.wants_usage(self._exchange.ask.raw) else None
        for event in joined.end(self._head, self._finish, usage):
            yield event

    async def _texts(self) -> AsyncIterator[str]:
        """Yield the text of the whole answer, piece by piece. The text ends early if it reaches the client's token
        limit.
        """
        plan = self._plan
        waiting: deque[asyncio.Task[PieceAnswer]] = deque()
        numbers = iter(range(len(plan.pieces)))
        try:
            for number in numbers:
                waiting.append(asyncio.create_task(self._answered(number)))
                if len(waiting) < plan.at_once and number + 1 < len(plan.pieces):
                    continue
                yield await self._next(waiting)
                if self._is_over:
                    break
            while waiting and not self._is_over:
                yield await self._next(waiting)
            yield self._stitcher.finish()
        finally:
            for task in waiting:
                task.cancel()
            for task in waiting:
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _next(self, waiting: deque[asyncio.Task[PieceAnswer]]) -> str:
        answer = await waiting[0]
        waiting.popleft()
        piece = self._plan.pieces[len(self._answers)]
        self._answers.append(answer)
        text = answer.text
        if room := self._exchange.ask.room_tokens:
            over = sum(one.written for one in self._answers) - room
            self._is_over = over >= 0
            text = _shortened(text, over / max(1, answer.written)) if over > 0 else text
        return self._stitcher.add(text, piece.gap)

    async def _answered(self, number: int) -> PieceAnswer:
        try:
            return await self._answer(self._plan.pieces[number], number)
        except BackendFailed:
            if not self._may_call(1):
                raise
            return await self._answer(self._plan.pieces[number], number)

    async def _answer(self, piece: TextPiece, number: int) -> PieceAnswer:
        async with self._at_once:
            reply = await self._caller.call(self._exchange_for(piece, number), self._headers)
        if reply.status >= 300:
            raise PieceRefused(reply)
        if number == 0:
            self.reply = reply
        answer = read_answer(reply.body, "application/json")
        tokens = max(0, answer.prompt_tokens), max(0, answer.completion_tokens)
        if answer.finish != CUT:
            if not answer.text.strip():
                raise AnswerLost(f"The model's answer to piece {number + 1} of the text is empty.")
            return PieceAnswer(answer.text, tokens, tokens[1])
        parts = await asyncio.to_thread(halves, piece, len) if len(piece.text) > SMALLEST else [piece]
        if len(parts) < 2 or not self._may_call(len(parts)):
            return PieceAnswer(answer.text, tokens, tokens[1], is_cut=True)
        return _together(tokens, parts, [await self._answer(part, number) for part in parts])

    def _may_call(self, times: int) -> bool:
        """Take `times` calls from the spare calls. If fewer are left, take none and return False."""
        if self._spare < times:
            return False
        self._spare -= times
        return True

    def _exchange_for(self, piece: TextPiece, number: int) -> Exchange:
        plan, exchange = self._plan, self._exchange
        text = f"{plan.note_for(piece, number)}{plan.before}{piece.text}{plan.after}"
        raw = next_draw.whole(exchange.ask.raw, 0, limited=False)
        sampling = Sampling(plan.answer_tokens, exchange.sampling.temperature, exchange.sampling.stop)
        turns = (*exchange.prompt[:-1], Turn("user", text))
        ask = replace(exchange.ask, raw=raw, stream=False)
        return replace(exchange, ask=ask, mode=Mode.ON, turns=turns, sampling=sampling, pieces=None)

    @property
    def _head(self) -> joined.AnswerHead:
        return joined.AnswerHead(self._exchange.id, int(self._exchange.started_s), self._exchange.ask.model)

    @property
    def _usage(self) -> tuple[int, int]:
        return sum(one.tokens[0] for one in self._answers), sum(one.tokens[1] for one in self._answers)

    @property
    def _finish(self) -> str:
        return CUT if self._is_over or any(one.is_cut for one in self._answers) else "stop"

    def _note(self) -> Note:
        cut = [number for number, one in enumerate(self._answers, 1) if one.is_cut]
        calls = sum(one.calls for one in self._answers)
        read, written = self._usage
        reason = f"{len(self._answers)} pieces in order" + (f"; cut at their limit: {cut}" if cut else "")
        data = {"pieces": len(self._answers), "calls": calls, "tokens_in": read, "tokens_out": written, "cut": cut}
        return Note(STAGE, "stitched", reason, data)


async def perform_pieces(
    exchange: Exchange, plan: PiecePlan, headers: Headers, caller: Caller, at_once: asyncio.Semaphore
) -> tuple[Exchange, Reply]:
    """Answer the exchange piece by piece, and return the exchange and the joined reply. Raises the errors of
    `Caller.call`.
    """
    return exchange, await PieceWork(exchange, plan, headers, caller, at_once).perform()


def composed_reply(exchange: Exchange) -> Reply:
    """Return a reply with the answer that the stages have composed. No backend is called."""
    head = joined.AnswerHead(exchange.id, int(exchange.started_s), exchange.ask.model)
    backend, model = exchange.route[0].backend, exchange.route[0].model
    if not exchange.ask.stream:
        body = joined.completion(head, exchange.composed, (0, 0), "stop")
        return Reply(200, (JSON,), body, backend=backend, model=model, notes=[])
    usage = (0, 0) if next_draw.wants_usage(exchange.ask.raw) else None
    events = [joined.event(head, exchange.composed, begins=True), *joined.end(head, "stop", usage)]
    return Reply(200, streamed_headers(()), pieces=_each(events), backend=backend, model=model, notes=[])


async def _each(events: Sequence[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


def _together(spent: tuple[int, int], parts: Sequence[TextPiece], answers: Sequence[PieceAnswer]) -> PieceAnswer:
    """Join the answers to the parts of one piece. `spent` holds the prompt tokens and the answer tokens of the call for
    the whole piece.
    """
    stitcher = Stitcher()
    texts = [stitcher.add(one.text, part.gap) for part, one in zip(parts, answers, strict=True)]
    tokens = tuple(spent[place] + sum(one.tokens[place] for one in answers) for place in (0, 1))
    calls = 1 + sum(one.calls for one in answers)
    text = "".join([*texts, stitcher.finish()])
    written = sum(one.written for one in answers)
    return PieceAnswer(text, (tokens[0], tokens[1]), written, calls, any(one.is_cut for one in answers))


def _shortened(text: str, share: float) -> str:
    """Return the text without its end. About the share `share` of the text is removed. The text is cut after a word if
    possible.
    """
    shorter = text[: int(len(text) * max(0.0, 1 - share))]
    return shorter[: shorter.rfind(" ") + 1].rstrip() or shorter
