"""Lets a model read a long text in parts.

The parts are read in parallel, and the results are merged level by level. The strategy `refine` reads the parts one
after another instead.

The quote gives the cost in advance. A failed call is repeated once, but at most a quarter of the calls are repeated. If
a call fails again, its part is left out and counted. Merging ends when a level is hardly shorter than the level before.
The results of that level are then cut to fit.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.context.fence import harmless, marked
from gateway.context.long.levels import ReadingLevel, as_one, cut_to_fit, level_tokens, merge_groups, tokens_in_prompt
from gateway.context.long.parts import MESSAGE, Count
from gateway.context.long.quote import CannotRead, Quote, WindowRoom
from gateway.context.long.wording import LongWording
from gateway.context.pieces.cut import halves
from gateway.context.tables.items import MergedList, merged_list
from gateway.exchange import Call, Chunk, Exchange, Sampling, TextPiece
from gateway.own_call import own_call
from gateway.ports import Completer

CALL_S = 120.0
"""The time limit of a call."""
SECOND_TRIES = 4
"""If the quote reserves no spare calls, one second try is allowed for each group of this many calls."""
CACHED_RESULTS = 2000
"""The number of results that are cached. A part is not read twice for the same task."""
HARDLY_SHRUNK = 0.8


class ReadingResult(Struct, frozen=True):
    """The results in the order of the text, with their spans, and the calls that produced them."""

    results: tuple[Chunk, ...]
    calls: tuple[Call, ...] = ()
    unread: int = 0
    levels: tuple[ReadingLevel, ...] = ()
    """The results of all steps in their full length."""
    stopped: bool = False
    """Whether merging ended because the last level hardly shrank. The results of that level were then shortened."""
    cut: int = 0
    """The number of results that were cut off at their limit, because no calls were left to read the parts in halves.
    """
    merged: MergedList | None = None
    """The lists of all parts as one list, or None if the results are not lists."""
    is_answer: bool = False
    """Whether the merged list itself is the answer, because the list does not fit the last prompt."""

    def data(self) -> Mapping[str, Any]:
        levels = [level.data() for level in self.levels]
        figures = {"calls": len(self.calls), "unread": self.unread, "cut": self.cut, "stopped": self.stopped}
        if self.merged is not None:
            figures |= {"items": self.merged.total, "different_items": len(self.merged.items)}
        return {**figures, "levels": levels}


class LongReader:
    """Reads texts for many requests, with a limit on parallel calls."""

    def __init__(self, completer: Completer, at_once: int) -> None:
        self._completer = completer
        self._at_once = asyncio.Semaphore(at_once)
        self._cache: OrderedDict[str, str] = OrderedDict()

    async def tree(
        self, exchange: Exchange, parts: Sequence[Chunk], task: str, quote: Quote, room: WindowRoom, words: LongWording,
        count: Count,
    ) -> ReadingResult:  # fmt: skip
        """Read every part, then merge the results until they fit `room.final`. Raises `CannotRead` if there are no
        results.
        """
        work = _Work(self, exchange, words, room.result, quote.calls)
        level = await work.mapped(parts, task, count)
        return await self._reduced(work, level, task, quote, room, words, count)

    async def gather(
        self, exchange: Exchange, parts: Sequence[Chunk], task: str, quote: Quote, room: WindowRoom, words: LongWording,
        count: Count,
    ) -> ReadingResult:  # fmt: skip
        """Do the task for every part. Lists are merged and counted by code, and other results are merged as in `tree`.

        If no part has anything for the task, the result says so.
        """
        work = _Work(self, exchange, words, room.result, quote.calls, spare=quote.spare)
        level = await work.mapped(parts, task, count)
        merged = merged_list(level)
        if work.unread and not level:
            work.need(level)
        if merged is None and level:
            return await self._reduced(work, level, task, quote, room, words, count)
        merged = merged or MergedList(())
        title = words.counted.format(total=merged.total, different=len(merged.items))
        text = merged.text() or words.nothing
        tokens = await asyncio.to_thread(count, text)
        whole = Chunk("items", "", title, text, parts[0].start, parts[-1].end, tokens=tokens)
        fits = tokens_in_prompt([whole]) <= room.final
        reading = await work.reading([whole] if fits else [], room.final, count)
        return replace(reading, merged=merged, is_answer=not fits)

    async def _reduced(
        self, work: "_Work", level: list[Chunk], task: str, quote: Quote, room: WindowRoom, words: LongWording,
        count: Count,
    ) -> ReadingResult:  # fmt: skip
        """Merge the results level by level until they fit the last prompt. Documents are kept apart as long as one of
        them has several results.
        """
        work.need(level)
        while len(level) > 1 and tokens_in_prompt(level) > room.final:
            groups = [as_one(group) for group in merge_groups(level, quote.fan_in)]
            prompts = [words.reduce.format(task=task, title=_titled(words, group)) for group in groups]
            merged = await work.all("reduce", prompts, groups, count)
            work.need(merged)
            work.stopped = level_tokens(merged) > HARDLY_SHRUNK * level_tokens(level)
            level = merged
            if work.stopped:
                break
        return await work.reading(level, room.final, count)

    async def refine(
        self, exchange: Exchange, parts: Sequence[Chunk], task: str, room: WindowRoom, words: LongWording, count: Count
    ) -> ReadingResult:
        """Read the parts in order, each with the notes on the parts before it. Raises `CannotRead`."""
        work = _Work(self, exchange, words, room.result, len(parts))
        notes: list[Chunk] = []
        for number, part in enumerate(parts, 1):
            before = harmless(notes[0].text) if notes else ""
            prompt = words.refine.format(n=number, of=len(parts), task=task) + f"\n{before}\n"
            notes = await work.all("refine", [prompt], [part], count) or notes
        work.need(notes)
        whole = Chunk("notes", "", MESSAGE, notes[0].text, parts[0].start, parts[-1].end, tokens=notes[0].tokens)
        return await work.reading([whole], room.final, count)

    async def ask(self, exchange: Exchange, prompt: str, purpose: str, tokens: int) -> tuple[str, Call | None]:
        """Return the answer of a call, and the call itself.

        If the answer comes from the cache, the call is None. A failed call has an `error`.
        """
        model = exchange.route[0].model if exchange.route else exchange.ask.model
        # a client must not learn from the number of calls what another key has sent
        name = f"{exchange.key.name}\0{model}\0{tokens}\0{prompt}"
        key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key], None
        async with self._at_once:
            text, call = await own_call(
                self._completer,
                exchange,
                [Turn("user", prompt)],
                purpose=purpose,
                model="",
                sampling=Sampling(tokens, 0.0),
                timeout_s=CALL_S,
            )
        # an answer at its limit may be cut off, so the next request must see that too
        if not call.error and call.completion_tokens < tokens:
            self._cache[key] = text
            if len(self._cache) > CACHED_RESULTS:
                self._cache.popitem(last=False)
        return text, call


class _Work:
    """The state of one request that is being read: its calls, and the number of parts that could not be read."""

    def __init__(
        self, reader: LongReader, exchange: Exchange, words: LongWording, tokens: int, planned: int, *,
        spare: int = 0,
    ) -> None:  # fmt: skip
        """`tokens` limits each result, and `planned` is the number of calls in the quote.

        If `spare` is not 0, a part whose result reaches the limit is read again in two halves.
        """
        self.calls: list[Call] = []
        self.unread = 0
        self.levels: list[ReadingLevel] = []
        self._written: list[tuple[Call, str]] = []
        self.stopped = False
        self.cut = 0
        self._halves = bool(spare)
        self._done = 0
        self._spare = spare or max(1, planned // SECOND_TRIES)
        self._reader, self._exchange, self._words, self._tokens = reader, exchange, words, tokens

    def need(self, results: Sequence[Chunk]) -> None:
        """Raise `CannotRead` if there are no results."""
        if not results:
            failed = "the model that reads the text in parts did not answer"
            raise CannotRead(failed if self.unread else "nothing in the text is relevant to the task", self.calls)

    async def reading(self, level: Sequence[Chunk], room: int, count: Count) -> ReadingResult:
        """Return the final result. The texts of the last level are shortened if they need more than `room` tokens."""
        if tokens_in_prompt(level) > room:
            level = await asyncio.to_thread(cut_to_fit, level, room, count)
        return ReadingResult(tuple(level), tuple(self.calls), self.unread, tuple(self.levels), self.stopped, self.cut)

    async def mapped(self, parts: Sequence[Chunk], task: str, count: Count) -> list[Chunk]:
        """Do the task for each part, and return the results."""
        words, of = self._words, len(parts)
        prompts = [
            words.map.format(n=n, of=of, task=task, title=_titled(words, part)) for n, part in enumerate(parts, 1)
        ]
        return await self.all("map", prompts, parts, count)

    async def all(self, purpose: str, prompts: Sequence[str], parts: Sequence[Chunk], count: Count) -> list[Chunk]:
        """Make the calls of one level, and return the results in order, with their tokens counted. Empty results are
        dropped.
        """
        full = await asyncio.to_thread(lambda: [_full_prompt(*pair) for pair in zip(prompts, parts, strict=True)])
        reads = zip(prompts, full, parts, strict=True)
        texts = await asyncio.gather(*[self._read_part(purpose, *one) for one in reads])
        self.unread += sum(text is None for text in texts)
        nothing = self._words.nothing
        useful = [
            (text, part)
            for text, part in zip(texts, parts, strict=True)
            if text and text.rstrip(".。").casefold() != nothing
        ]
        sizes = await asyncio.to_thread(lambda: [count(text) for text, _ in useful])
        results = [
            Chunk(part.id, "", part.source, text, part.start, part.end, heading=part.heading, tokens=size)
            for (text, part), size in zip(useful, sizes, strict=True)
        ]
        self.levels.append(ReadingLevel(purpose, tuple(results)))
        return results

    async def _read_part(self, purpose: str, prompt: str, full_prompt: str, part: Chunk) -> str | None:
        result = await self._twice(purpose, full_prompt)
        if result is not None and self._ends_at_limit(result):
            result = await self._in_halves(purpose, prompt, part, result)
        self._done += 1
        if self._exchange.tell is not None:
            await self._exchange.tell(f"{purpose}: {self._done} read")
        return result

    async def _twice(self, purpose: str, full_prompt: str) -> str | None:
        """Return the result of a prompt, or None after a failure. A failed call is repeated once if a call is left."""
        result = await self._try(purpose, full_prompt)
        if result is None and self._spare > 0:
            self._spare -= 1
            result = await self._try(purpose, full_prompt)
        return result

    def _ends_at_limit(self, result: str) -> bool:
        written = next((call.completion_tokens for call, text in self._written if text == result), 0)
        return self._halves and written >= self._tokens

    async def _in_halves(self, purpose: str, prompt: str, part: Chunk, result: str) -> str:
        """Return the results of both halves of a part, or the given result if the halves cannot be read."""
        pieces = await asyncio.to_thread(_prompts_of_halves, prompt, part)
        if self._spare < len(pieces) or len(pieces) < 2:
            self.cut += 1
            return result
        self._spare -= len(pieces)
        texts = [await self._try(purpose, one) for one in pieces]
        if any(text is None for text in texts):
            self.cut += 1
            return result
        self.cut += sum(self._ends_at_limit(text) for text in texts if text)
        nothing = self._words.nothing
        return "\n".join(text for text in texts if text and text.rstrip(".。").casefold() != nothing)

    async def _try(self, purpose: str, prompt: str) -> str | None:
        result, call = await self._reader.ask(self._exchange, prompt, purpose, self._tokens)
        if call is None:
            return result
        self.calls.append(call)
        if call.error:
            return None
        self._written.append((call, result))
        return result


def _full_prompt(prompt: str, part: Chunk) -> str:
    """Return a prompt with the text of a part. Blocking."""
    return f"{prompt}\n{marked(part.text, stable=part.id)}"


def _prompts_of_halves(prompt: str, part: Chunk) -> list[str]:
    """Return a prompt for each half of a part. Blocking."""
    pieces = halves(TextPiece(part.text.strip()), len)
    return [_full_prompt(prompt, replace(part, text=one.text)) for one in pieces]


def _titled(words: LongWording, part: Chunk) -> str:
    """Return the words in which a prompt names the part's document, or "" if there is only one document."""
    return words.of_document.format(title=harmless(part.source)) if part.source != MESSAGE else ""
