"""Plans how a long text is transformed piece by piece. The cost is known before the first call."""

import asyncio
from collections.abc import Sequence
from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.context.fence import harmless
from gateway.context.long import quote as quotes
from gateway.context.long.choose import StrategyChoice
from gateway.context.long.prompts import with_plan
from gateway.context.long.quote import SMALLEST_PART, CannotRead, Quote
from gateway.context.long.read import LongReader
from gateway.context.long.shape import RequestShape
from gateway.context.long.task import LongTask
from gateway.context.long.wording import WORDINGS, LongWording, wording_of
from gateway.context.pieces.cut import Count, cut
from gateway.context.pieces.terms import forms, recurring
from gateway.context.tables.figures import leads_in
from gateway.context.window import PROMPT_TOKENS, TURN_TOKENS
from gateway.exchange import Exchange, PiecePlan
from gateway.settings.context import Context

GROWTH = 1.5
"""The answer to a piece may have this many times the piece's tokens. If the answer is longer, the piece is transformed
in two halves.
"""
SPARE = 4
"""For each group of this many pieces, one more call is allowed, for a second try or for a piece that is transformed in
halves.
"""
TERMS_TOKENS, TERMS_SHARE = 320, 16
"""In each prompt, names and terms take at most `TERMS_TOKENS` tokens, and at most the window divided by `TERMS_SHARE`.
"""


class PieceRoom(Struct, frozen=True):
    """The division of the window in tokens. `free` is the room for a piece and its answer together, `beside` is the
    rest of the prompt, and `most` is the configured limit of a piece.
    """

    free: int
    beside: int
    most: int

    @property
    def piece(self) -> int:
        """The maximum size of a piece. Raises `CannotRead` if the window leaves too little."""
        size = int(self.free / (1 + GROWTH))
        if size < SMALLEST_PART:
            raise CannotRead(f"the window leaves {max(0, size)} tokens for a piece, beside its answer")
        return min(self.most, size)


class PiecePlanner:
    """Plans the strategy `piecewise`. The model transforms the pieces later, when the answer is made."""

    def __init__(self, settings: Context, reader: LongReader | None) -> None:
        self._settings = settings
        self._reader = reader

    async def __call__(self, task: LongTask, chosen: StrategyChoice) -> Exchange:
        """Return the exchange with the pieces and their cost. Raises `CannotRead`."""
        if not task.joinable:
            raise CannotRead("tools, an output format or several choices are asked for, which cannot be put together")
        words, message = wording_of(task.shape.language), task.exchange.prompt[-1].text
        room = await asyncio.to_thread(self._piece_room, task, words)
        at_once = self._settings.parallel_calls
        plan, quote = await asyncio.to_thread(cut_up, message, task.shape, room, words, task.count, at_once)
        terms = await asyncio.to_thread(terms_of, message, task.shape)
        asks = bool(terms) and any(one.speaks_of_translation.search(task.shape.task) for one in WORDINGS.values())
        prompt = words.terms.format(task=task.shape.task, terms=harmless("\n".join(terms))) if asks else ""
        if prompt:
            read = quote.tokens_in + await asyncio.to_thread(task.count, prompt) + PROMPT_TOKENS + TURN_TOKENS
            quote = replace(quote, calls=quote.calls + 1, tokens_in=read, tokens_out=quote.tokens_out + TERMS_TOKENS)
        quotes.check(quote, self._settings)
        exchange = task.exchange
        known: tuple[tuple[str, str], ...] = ()
        if prompt and self._reader is not None and exchange.may_call:
            answer, call = await self._reader.ask(exchange, prompt, "terms", TERMS_TOKENS)
            exchange = replace(exchange, calls=(*exchange.calls, *([call] if call else [])))
            known = forms(answer, terms)
        plan = await asyncio.to_thread(with_terms, plan, terms, known, words, task.count, _terms_room(task))
        data = {"quote": quote.data(), "pieces": len(plan.pieces), "terms": len(terms)}
        first = f"{plan.note_for(plan.pieces[0], 0)}{plan.before}{plan.pieces[0].text}{plan.after}"
        turns = (*exchange.prompt[:-1], Turn("user", first))
        return with_plan(replace(task, exchange=replace(exchange, pieces=plan)), chosen, turns, (), data)

    def _piece_room(self, task: LongTask, words: LongWording) -> PieceRoom:
        """Return the room for a piece and its answer. Blocking."""
        own = task.exchange.prompt[-1].text
        around = task.count(own[: task.shape.start]) + task.count(own[task.shape.end :])
        note = task.count(f"{words.piece}{words.piece_terms}{words.piece_lead}") + _terms_room(task)
        note += max((task.count(lead.text) for lead in leads_in(task.shape.text)), default=0)
        beside = PROMPT_TOKENS + TURN_TOKENS + sum(task.sizes[:-1]) + around + note
        free = task.target.window_tokens - beside
        return PieceRoom(free, beside, self._settings.piece_tokens)


def cut_up(
    message: str, shape: RequestShape, room: PieceRoom, words: LongWording, count: Count, at_once: int
) -> tuple[PiecePlan, Quote]:
    """Cut the text into pieces, and return the plan with the cost. Blocking. Raises `CannotRead`."""
    size = room.piece
    start, end = _trimmed(message, shape)
    pieces = tuple(cut(message[start:end], size, count))
    answer = ceil(GROWTH * size)
    spare = max(2, ceil(len(pieces) / SPARE))
    before, after = message[:start], message[end:]
    plan = PiecePlan(pieces, before, after, words.piece, words.piece_lead, answer, at_once, spare)
    largest = max(count(piece.text) + count(piece.lead) for piece in pieces)
    calls = len(pieces) + spare
    read = sum(count(piece.text) + count(piece.lead) for piece in pieces) + spare * largest + calls * room.beside
    return plan, Quote("piecewise", size, len(pieces), 1, 1, calls, read, calls * answer)


def _terms_room(task: LongTask) -> int:
    """Return the maximum number of tokens of names and terms in each prompt."""
    return min(TERMS_TOKENS, task.target.window_tokens // TERMS_SHARE)


def terms_of(message: str, shape: RequestShape) -> tuple[str, ...]:
    """Return the names and terms to repeat in every prompt. Blocking."""
    return recurring(message[shape.start : shape.end])


def with_terms(
    plan: PiecePlan,
    terms: Sequence[str],
    forms: Sequence[tuple[str, str]],
    words: LongWording,
    count: Count,
    tokens: int,
) -> PiecePlan:
    """Add the terms to the note of the plan, with the form of each term if it is known.

    Terms for which there is no room are left out. Blocking.
    """
    known = dict(forms)
    named = [f"{term} = {known[term]}" if term in known else term for term in terms]
    named = [harmless(one).replace("{", "(").replace("}", ")") for one in named]
    while named and count("; ".join(named)) > tokens:
        named.pop()
    if not named:
        return plan
    note = f"{plan.note}\n{words.piece_terms} {'; '.join(named)}"
    return replace(plan, note=note)


def _trimmed(message: str, shape: RequestShape) -> tuple[int, int]:
    """Return the span of the text without the white space at its ends."""
    text = message[shape.start : shape.end]
    start = shape.start + len(text) - len(text.lstrip())
    return start, start + len(text.strip())
