"""The stage that shortens a prompt that is over its window, with as little loss as it can.

A chooser picks the strategy, or the request names it. The cost of each is known before a model is called, and a
strategy over the operator's limits does not start. A prompt that is still too long is left to the stage `fit`.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.fence import fenced
from gateway.context.long import quote as quotes
from gateway.context.long.choose import Powers, Strategy, StrategyChoice, choose
from gateway.context.long.focus import Embed, focus
from gateway.context.long.frames import JOIN_TOKENS, SOURCE_TOKENS, around_part, around_sources
from gateway.context.long.meaning import Meaning
from gateway.context.long.parts import PIECES, parts
from gateway.context.long.quote import CannotRead, Quote, WindowRoom
from gateway.context.long.read import LongReader, ReadingResult
from gateway.context.long.shape import RequestShape, is_talk, shape_of
from gateway.context.long.wording import LongWording, wording_of
from gateway.context.window import (
    PROMPT_TOKENS,
    TURN_TOKENS,
    Count,
    answer_room,
    lengthened,
    longest_tokens,
    prompt_room,
    sizes_of,
    trim,
    upper_bound,
)
from gateway.errors import BadRequest
from gateway.exchange import Chunk, ContextPlan, Exchange, Mode, Target, Turn
from gateway.settings import Context

READ = (Strategy.TREE, Strategy.MAP_REDUCE, Strategy.REFINE)
PREVIEWED = "[a model reads this part first]"


class Task(Struct, frozen=True):
    """A request that does not fit, with all that is needed to shorten it."""

    exchange: Exchange
    target: Target
    shape: RequestShape
    talk: bool
    sizes: Sequence[int]
    """The tokens of each turn."""
    task_tokens: int
    room: int
    """The room of the window for the prompt, in tokens."""
    count: Callable[[str], int]

    @property
    def tokens(self) -> int:
        return PROMPT_TOKENS + sum(self.sizes)

    @property
    def beside(self) -> int:
        """The tokens of the rest of the prompt: the task, and the other messages."""
        return self.task_tokens + sum(self.sizes[:-1])

    def free_beside(self, said: str) -> int:
        """The room of the last prompt for sources under the instruction `said`. Blocking."""
        frame = around_sources(said, self.shape.language, self.count)
        return self.room - PROMPT_TOKENS - TURN_TOKENS - frame - self.beside


class CondenseStage:
    """Stage `condense`. `reader` and `meaning` have memories that outlive the stage, which is built again when
    something was loaded. Without `embed`, words alone are compared."""

    name = "condense"

    def __init__(
        self,
        settings: Context,
        count: Count,
        reader: LongReader | None = None,
        meaning: Meaning | None = None,
        embed: Embed | None = None,
        mixing: Collection[str] = (),
    ) -> None:
        """`mixing`: the backends that can read passages in parallel and mix their predictions."""
        self._settings = settings
        self._count = count
        self._mixing = mixing
        self._embed = embed
        self._meaning = meaning or Meaning()
        self._reader = reader

    async def __call__(self, exchange: Exchange) -> Exchange:
        wanted = _named(exchange)
        if not self._concerns(exchange, wanted):
            return exchange
        task = await self._task(exchange)
        if task is None or (wanted is None and task.tokens <= task.room):
            return exchange
        chosen = StrategyChoice(wanted, "the request names it") if wanted else self._choose(task)
        if chosen is None or chosen.strategy in (Strategy.DIRECT, Strategy.TRIMMED):
            return exchange
        try:
            return await self._do(task, chosen)
        except CannotRead as error:
            if wanted:
                what = f"The strategy {wanted.value!r} cannot be used: {error}."
                raise BadRequest(what, param="foreword.strategy") from None
            paid = replace(exchange, calls=(*exchange.calls, *error.calls))
            return await self._otherwise(replace(task, exchange=paid), str(error))

    def _concerns(self, exchange: Exchange, wanted: Strategy | None) -> bool:
        target = exchange.route[0] if exchange.route else None
        if target is None or not target.window_tokens or not exchange.ask.endpoint.takes_messages:
            return False
        if self._settings.strategy == "off" and wanted is None:
            return False
        # sources of a collection already fit
        if exchange.windows or exchange.chunks or exchange.mode is not Mode.ON or exchange.key.mode is Mode.OFF:
            return False
        fits = upper_bound(exchange.prompt) <= prompt_room(exchange, target)
        return bool(wanted) or (not fits and all(turn.plain for turn in exchange.prompt))

    async def _task(self, exchange: Exchange) -> Task | None:
        """The parts of the request, counted. None if its last message is not the user's."""
        target, turns = exchange.route[0], exchange.prompt
        if not turns or turns[-1].role != "user" or not turns[-1].plain:
            return None

        def count(text: str) -> int:
            return self._count(target.backend, text)

        def look() -> tuple[list[int], RequestShape, int]:
            shape = shape_of(turns[-1].text)
            return sizes_of(turns, target.backend, self._count), shape, count(shape.task)

        sizes, shape, task_tokens = await asyncio.to_thread(look)
        shape = await self._meaning.of(shape, self._embed)
        room = prompt_room(exchange, target)
        return Task(exchange, target, shape, is_talk(turns), sizes, task_tokens, room, count)

    def _choose(self, task: Task) -> StrategyChoice | None:
        able = self._reader is not None and task.exchange.mode is Mode.ON
        logits = task.target.backend in self._mixing
        powers = Powers(calls=able, logits=logits, stretched_tokens=longest_tokens(task.target))
        most = max(1, task.target.window_tokens // 2)
        asked = task.tokens + answer_room(task.exchange, task.target)
        return choose(task.shape, talk=task.talk, parts=-(-task.tokens // most), prompt_tokens=asked, powers=powers)

    async def _do(self, task: Task, chosen: StrategyChoice) -> Exchange:
        if chosen.strategy is Strategy.FOCUS:
            return await self._focus(task, chosen)
        if chosen.strategy is Strategy.NBCE:
            if not task.shape.passages or not task.shape.task:
                raise CannotRead("the message is not a question and at least three passages that stand apart")
            return _mixed(task, chosen)
        if chosen.strategy in READ or chosen.strategy is Strategy.TALK:
            return await self._read(task, chosen)
        longer = lengthened(task.exchange, task.tokens, self.name, chosen.why)
        if longer is None:
            most = longest_tokens(task.target) or task.target.window_tokens
            raise CannotRead(
                f"the message has {task.tokens} tokens, and the model {task.target.model!r} reaches {most} at most"
            )
        return longer

    async def _otherwise(self, task: Task, why: str) -> Exchange:
        """The text cannot be read as chosen: search it, if there is a task to search for."""
        if task.talk or not task.shape.task:
            return task.exchange.noted(self.name, "skipped", why)
        return await self._focus(task, StrategyChoice(Strategy.FOCUS, f"{why}; so a few passages are used"))

    async def _focus(self, task: Task, chosen: StrategyChoice) -> Exchange:
        if not task.shape.task:
            raise CannotRead("no paragraph of the message asks for anything")
        words = wording_of(task.shape.language)
        free = await asyncio.to_thread(task.free_beside, words.passages)
        found = await focus(task.shape.text, task.shape.task, max(0, free), task.count, self._embed)
        if not found:
            return task.exchange.noted(self.name, "skipped", f"no passage fits into {max(0, free)} tokens")
        return _with(task, chosen, _moved(found, task.shape.start), words.passages, {"passages": len(found)})

    async def _read(self, task: Task, chosen: StrategyChoice) -> Exchange:
        talk = chosen.strategy is Strategy.TALK
        if self._reader is None:
            raise CannotRead("there is no model that may be asked")
        words = wording_of(task.shape.language)
        said = words.talk if talk else task.shape.task or words.talk
        room = await asyncio.to_thread(self._room, task, words, said, talk)
        text, kept = await asyncio.to_thread(_talked, task, words, room.final) if talk else (task.shape.text, ())
        refining = chosen.strategy is Strategy.REFINE
        room = quotes.beside_notes(room) if refining else room
        found = await asyncio.to_thread(parts, text, quotes.part_tokens(room), task.count)
        tokens = sum(part.tokens for part in found)
        quote = quotes.refine(len(found), tokens, room) if refining else quotes.tree(len(found), tokens, room)
        self._check(quote)
        if not task.exchange.may_call:
            reading = ReadingResult(tuple(replace(part, text=PREVIEWED) for part in found))
        elif refining:
            reading = await self._reader.refine(task.exchange, found, said, room, words, task.count)
        else:
            reading = await self._reader.tree(task.exchange, found, said, quote, room, words, task.count)
        data = {"quote": quote.data(), **reading.data()}
        exchange = replace(task.exchange, calls=(*task.exchange.calls, *reading.calls))
        task = replace(task, exchange=exchange)
        if talk:
            return _retold(task, chosen, reading.results, kept, words.earlier, data)
        return _with(task, chosen, _moved(reading.results, task.shape.start), words.final, data)

    def _check(self, quote: Quote) -> None:
        most_calls, most_tokens = self._settings.most_calls, self._settings.most_tokens
        tokens = quote.tokens_in + quote.tokens_out
        if quote.calls > most_calls:
            raise CannotRead(f"it would take {quote.calls} calls; [context] most_calls is {most_calls}")
        if tokens > most_tokens:
            raise CannotRead(f"it would take {tokens} tokens; [context] most_tokens is {most_tokens}")

    def _room(self, task: Task, words: LongWording, said: str, talk: bool) -> WindowRoom:
        """The room for each prompt. Blocking, since the prompts are counted."""
        result = min(self._settings.note_tokens, task.target.window_tokens // 8)
        prompt = PROMPT_TOKENS + around_part(words, task.count) + task.count(said) + PIECES * JOIN_TOKENS
        final = result + SOURCE_TOKENS if talk else task.free_beside(words.final)
        return WindowRoom(task.target.window_tokens, prompt, result, max(0, final))


def _named(exchange: Exchange) -> Strategy | None:
    """The strategy that the request names. Raises `BadRequest` for an unknown name."""
    name = exchange.ask.controls.strategy
    if not name or exchange.ask.controls.contexts:
        return None
    try:
        return Strategy(name)
    except ValueError:
        known = ", ".join(Strategy)
        raise BadRequest(f"Unknown strategy {name!r}; known: {known}.", param="foreword.strategy") from None


def _moved(found: Sequence[Chunk], start: int) -> tuple[Chunk, ...]:
    """The chunks with their places in the client's message instead of in the text alone."""
    return tuple(replace(one, start=one.start + start, end=one.end + start) for one in found)


def _with(task: Task, chosen: StrategyChoice, found: Sequence[Chunk], said: str, data: Mapping[str, Any]) -> Exchange:
    """The last message with the results in place of the text."""
    sources = fenced(found, task.shape.language, instruction=said)
    turns = (*task.exchange.prompt[:-1], Turn("user", f"{sources}\n\n{task.shape.task}".strip()))
    return _planned(task, chosen, turns, found, data)


def _mixed(task: Task, chosen: StrategyChoice) -> Exchange:
    """The passages go to the engine, which reads them in parallel and answers the task from all of them."""
    ask = task.exchange.ask
    controls = replace(ask.controls, contexts=task.shape.passages)
    exchange = replace(task.exchange, ask=replace(ask, controls=controls))
    turns = (*exchange.prompt[:-1], Turn("user", task.shape.task))
    return _planned(replace(task, exchange=exchange), chosen, turns, (), {"passages": len(task.shape.passages)})


def _talked(task: Task, words: LongWording, tokens: int) -> tuple[str, tuple[Turn, ...]]:
    """The earlier turns as one text, and the turns that stay. Raises `CannotRead`."""
    turns = task.exchange.prompt
    frame = around_sources(words.earlier, task.shape.language, task.count)
    places = trim(turns, task.sizes, task.room - PROMPT_TOKENS - frame - tokens)
    if places is None:
        raise CannotRead("the last message alone is over the window")
    kept = tuple(turns[place] for place in places)
    gone = [turn for place, turn in enumerate(turns) if place not in set(places)]
    return "\n\n".join(f"{turn.role}: {turn.text}" for turn in gone), kept


def _retold(
    task: Task, chosen: StrategyChoice, found: Sequence[Chunk], kept: Sequence[Turn], said: str, data: Mapping[str, Any]
) -> Exchange:
    """The summary of the dropped turns, ahead of the first user turn that stays."""
    first = next(place for place, turn in enumerate(kept) if turn.role == "user")
    sources = fenced(found, task.shape.language, instruction=said)
    retold = Turn("user", f"{sources}\n\n{kept[first].text}")
    turns = (*kept[:first], retold, *kept[first + 1 :])
    gone = len(task.exchange.prompt) - len(kept)
    return _planned(task, chosen, turns, found, {**data, "dropped_turns": gone}, gone)


def _planned(
    task: Task,
    chosen: StrategyChoice,
    turns: tuple[Turn, ...],
    found: Sequence[Chunk],
    data: Mapping[str, Any],
    dropped: int = 0,
) -> Exchange:
    plan = ContextPlan(chosen.strategy.value, task.target.window_tokens, 0, dropped)
    chunks = (*task.exchange.chunks, *found)
    said = {"tokens": task.tokens, "window_tokens": task.target.window_tokens, **data}
    exchange = replace(task.exchange, turns=turns, chunks=chunks, plan=plan)
    return exchange.noted("condense", chosen.strategy.value, chosen.why, said)
