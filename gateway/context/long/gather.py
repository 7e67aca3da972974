"""Plans the strategy `gather`, for a task that needs all of the text.

The task is done for every part, and the answers are merged. If the text has tables, code counts their rows and adds up
their numbers. These figures become a source beside the answers.
"""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.context.long import quote as quotes
from gateway.context.long.choose import StrategyChoice
from gateway.context.long.frames import JOIN_TOKENS, SOURCE_TOKENS, around_part
from gateway.context.long.parts import PIECES, PREVIEWED, parts_of_documents
from gateway.context.long.prompts import in_message, with_sources
from gateway.context.long.quote import CannotRead, WindowRoom
from gateway.context.long.read import LongReader, ReadingResult
from gateway.context.long.task import LongTask
from gateway.context.long.wording import WORDINGS, LongWording, wording_of
from gateway.context.tables.figures import TextTable, figures_of, items_in, tables_in
from gateway.context.tables.sorting import sorted_rows
from gateway.context.window import PROMPT_TOKENS
from gateway.exchange import Chunk, Exchange
from gateway.settings.context import Context

TABLE_SHARE = 0.8
"""If tables are at least this share of the text, their figures are enough for a task that asks for figures."""
WHOLE_SHARE = 0.98
FIGURES_SHARE = 2
"""If the last prompt also has the answers from the parts, the figures may take only a share of the prompt's free room.
This share is 1 divided by the number.
"""
FEWEST_ITEMS = 5


class GatherPlanner:
    """Plans the strategy `gather`."""

    def __init__(self, settings: Context, reader: LongReader | None) -> None:
        self._settings = settings
        self._reader = reader

    async def __call__(self, task: LongTask, chosen: StrategyChoice) -> Exchange:
        """Return the exchange with the answers from all parts and with the figures of tables. Raises `CannotRead`."""
        words = wording_of(task.shape.language)
        free = await asyncio.to_thread(task.free_beside, words.final)
        tables = await asyncio.to_thread(tables_in, task.shape.text)
        alone = _share(task, tables) >= TABLE_SHARE and _asks_for_figures(task)
        room = free if alone else free // FIGURES_SHARE
        figures, left_out = await asyncio.to_thread(_figures, task, tables, room, words)
        counts = {"tables": len(tables), "rows": sum(len(table.rows) for table in tables), "figures_left_out": left_out}
        if answer := await asyncio.to_thread(_sorted, task, tables):
            why = replace(chosen, why=f"{chosen.why}; its rows were sorted by code, and are the answer")
            done = replace(task, exchange=replace(task.exchange, composed=answer))
            return with_sources(done, why, (), words.final, counts)
        if alone and figures:
            why = replace(chosen, why=f"{chosen.why}; it is a table, so its figures were computed from all rows")
            return with_sources(task, why, in_message(figures, task.shape.origin), words.final, counts)
        return await self._asked(task, chosen, figures, free, words, counts)

    async def _asked(
        self, task: LongTask, chosen: StrategyChoice, figures: Sequence[Chunk], free: int, words: LongWording,
        counts: dict[str, int],
    ) -> Exchange:  # fmt: skip
        if self._reader is None:
            raise CannotRead("no model may be called")
        instruction = task.shape.order or words.talk
        room = await asyncio.to_thread(self._room, task, words, instruction, free, figures)
        parts = await asyncio.to_thread(parts_of_documents, task.shape.text, quotes.part_tokens(room), task.count)
        tokens, documents = sum(part.tokens for part in parts), _document_sizes(parts)
        quote = quotes.tree(len(parts), tokens, room, documents=documents, strategy="gather")
        quote = quotes.with_spare(quote, room, max(2, len(parts) // 2))
        quotes.check(quote, self._settings)
        if task.exchange.may_call:
            reading = await self._reader.gather(task.exchange, parts, instruction, quote, room, words, task.count)
        else:
            reading = ReadingResult(tuple(replace(part, text=PREVIEWED) for part in parts))
        answer = reading.merged.text() if reading.merged is not None and reading.is_answer else ""
        exchange = replace(task.exchange, calls=(*task.exchange.calls, *reading.calls), composed=answer)
        if answer:
            chosen = replace(chosen, why=f"{chosen.why}; the merged list outgrows the window: it is the answer")
        data = {"quote": quote.data(), "documents": len(documents), **counts, **reading.data()}
        results = in_message((*figures, *reading.results), task.shape.origin)
        return with_sources(replace(task, exchange=exchange), chosen, results, words.final, data)

    def _room(
        self, task: LongTask, words: LongWording, instruction: str, free: int, figures: Sequence[Chunk]
    ) -> WindowRoom:
        """Return how each window is divided between the gateway's words, the text and the result. Blocking."""
        result = min(max(self._settings.gather_tokens, self._settings.note_tokens), task.target.window_tokens // 4)
        prompt = PROMPT_TOKENS + around_part(words, task.count) + task.count(instruction) + PIECES * JOIN_TOKENS
        used = sum(chunk.tokens + SOURCE_TOKENS for chunk in figures)
        return WindowRoom(task.target.window_tokens, prompt, result, max(0, free - used))


def _share(task: LongTask, tables: Sequence[TextTable]) -> float:
    """Return the share of the text that is in tables."""
    return sum(table.end - table.start for table in tables) / max(1, len(task.shape.text.strip()))


def _asks_for_figures(task: LongTask) -> bool:
    return any(words.speaks_of_figures.search(task.shape.task) for words in WORDINGS.values())


def _sorted(task: LongTask, tables: Sequence[TextTable]) -> str:
    """Return the sorted rows if the text is one table and the task clearly asks for sorting, else "". Blocking."""
    if len(tables) != 1 or _share(task, tables) < WHOLE_SHARE or not task.joinable:
        return ""
    (table,) = tables
    answer = sorted_rows(task.shape.text[table.start : table.end], table, task.shape.task) or ""
    room = task.exchange.ask.room_tokens
    return "" if room and task.count(answer) > room else answer


def _figures(task: LongTask, tables: Sequence[TextTable], room: int, words: LongWording) -> tuple[list[Chunk], int]:
    """Return the figures of all tables, as sources of at most `room` tokens in total, and the number of lines that did
    not fit.

    If the text has a list and no table, the number of list items is a source. Blocking.
    """
    made, left_out = [], 0
    for table in tables:
        lines = figures_of(table, task.shape.task)
        kept = list(lines)
        while kept and task.count("\n".join(kept)) + SOURCE_TOKENS + task.count(words.computed) > room:
            kept.pop()
        left_out += len(lines) - len(kept)
        if kept:
            text = "\n".join(kept)
            tokens = task.count(text) + task.count(words.computed)
            room -= tokens + SOURCE_TOKENS
            made.append(Chunk("figures", "", words.computed, text, table.start, table.end, tokens=tokens))
    items = items_in(task.shape.text)
    if not tables and items >= FEWEST_ITEMS and room > FIGURES_SHARE * SOURCE_TOKENS:
        text = words.items.format(total=items)
        made.append(Chunk("figures", "", words.computed, text, 0, len(task.shape.text), tokens=task.count(text) + 12))
    return made, left_out


def _document_sizes(parts: Sequence[Chunk]) -> list[int]:
    """Return the number of parts of each document, in order."""
    sizes: dict[str, int] = {}
    for part in parts:
        sizes[part.source] = sizes.get(part.source, 0) + 1
    return list(sizes.values())
