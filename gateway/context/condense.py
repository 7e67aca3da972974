"""The stage that shortens a prompt that is too long for the model's window, with as little loss as possible.

The request names a strategy, or the chooser picks one. The cost of a strategy is known before a model is called. A
strategy whose cost exceeds the operator's limits does not start. If the prompt is still too long afterwards, the stage
`fit` shortens it.
"""

import asyncio
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from gateway.ask import Mode, Turn
from gateway.context.long import quote as quotes
from gateway.context.long.choose import Powers, Strategy, StrategyChoice, choose
from gateway.context.long.earlier import with_earlier_text
from gateway.context.long.focus import Embed, focus
from gateway.context.long.frames import JOIN_TOKENS, SOURCE_TOKENS, around_part
from gateway.context.long.gather import GatherPlanner
from gateway.context.long.meaning import with_meaning
from gateway.context.long.parts import PIECES, PREVIEWED, parts, parts_of_documents
from gateway.context.long.piecewise import PiecePlanner
from gateway.context.long.prompts import in_message, split_talk, with_passages, with_sources, with_talk_summary
from gateway.context.long.quote import CannotRead, WindowRoom
from gateway.context.long.read import LongReader, ReadingResult
from gateway.context.long.shape import is_talk, shape_of
from gateway.context.long.task import LongTask
from gateway.context.long.wording import LongWording, wording_of
from gateway.context.task.head import TaskKind
from gateway.context.window import (
    PROMPT_TOKENS,
    SYSTEM_ROLES,
    Count,
    answer_room,
    lengthened,
    longest_tokens,
    prompt_room,
    sizes_of,
    trim,
    upper_bound,
    without_stretching,
)
from gateway.errors import BadRequest, ContextTooLong
from gateway.exchange import Exchange
from gateway.settings.context import Context

READ = (Strategy.TREE, Strategy.MAP_REDUCE, Strategy.REFINE)
ALL_OF_IT = (TaskKind.WHOLE, TaskKind.TRANSFORM)
"""Kinds of tasks for which a few passages of the text are not enough."""


class CondenseStage:
    """The stage `condense`. Without `embed`, texts are compared only by words.

    The stage is built again whenever the gateway has loaded the embedder or another part. The caller passes the same
    `reader` each time, so that the reader's cache is kept.
    """

    name = "condense"

    def __init__(
        self,
        settings: Context,
        count: Count,
        reader: LongReader | None = None,
        embed: Embed | None = None,
        mixing: Collection[str] = (),
    ) -> None:
        """`mixing` names the backends that can read passages in parallel (NBCE)."""
        self._settings = settings
        self._count = count
        self._mixing = mixing
        self._embed = embed
        self._reader = reader
        self._planner = PiecePlanner(settings, reader)
        self._gatherer = GatherPlanner(settings, reader)

    async def __call__(self, exchange: Exchange) -> Exchange:
        named = _named(exchange)
        if not self._concerns(exchange, named):
            return exchange
        task = await self._task(exchange)
        if task is None or (named is None and task.tokens <= task.room):
            return exchange
        chosen = StrategyChoice(named, "the request names it") if named else self._choose(task)
        if chosen is None:
            return self._impossible(task, "no model may be called to read the text in parts")
        if chosen.strategy in (Strategy.DIRECT, Strategy.TRIMMED):
            return exchange
        try:
            return await self._do(task, chosen)
        except CannotRead as error:
            if named:
                what = f"The strategy {named.value!r} cannot be used: {error}."
                raise BadRequest(what, param="foreword.strategy") from None
            paid = replace(exchange, calls=(*exchange.calls, *error.calls))
            return await self._otherwise(replace(task, exchange=paid), str(error), chosen.strategy)

    def _concerns(self, exchange: Exchange, named: Strategy | None) -> bool:
        target = exchange.route[0] if exchange.route else None
        if target is None or not target.window_tokens or not exchange.ask.endpoint.takes_messages:
            return False
        if self._settings.strategy == "off" and named is None:
            return False
        # the sources of a collection were already chosen to fit
        if exchange.windows or exchange.chunks or not exchange.mode.changes or exchange.key.mode is Mode.OFF:
            return False
        fits = upper_bound(exchange.prompt) <= prompt_room(exchange, target)
        return bool(named) or (not fits and all(turn.plain for turn in exchange.prompt))

    async def _task(self, exchange: Exchange) -> LongTask | None:
        """Split the request into its parts and count their tokens. Return None if the last message is not the
        user's.
        """
        target, turns = exchange.route[0], exchange.prompt
        if not turns or turns[-1].role != "user" or not turns[-1].plain:
            return None

        def count(text: str) -> int:
            return self._count(target.backend, text)

        room = prompt_room(exchange, target)

        def look() -> LongTask:
            sizes = sizes_of(turns, target.backend, self._count)
            moved = None
            if is_talk(turns) and PROMPT_TOKENS + sum(sizes) > room:
                moved = with_earlier_text(turns, sizes, room, _system(turns))
            if moved is None:
                shape = shape_of(turns[-1].text, _system(turns))
                return LongTask(exchange, target, shape, is_talk(turns), sizes, count(shape.task), room, count)
            sizes = sizes_of(moved.turns, target.backend, self._count)
            done, tokens = replace(exchange, turns=moved.turns), count(moved.shape.task)
            return LongTask(done, target, moved.shape, False, sizes, tokens, room, count, turns)

        task = await asyncio.to_thread(look)
        return replace(task, shape=await with_meaning(task.shape, self._embed))

    def _choose(self, task: LongTask) -> StrategyChoice | None:
        able = self._reader is not None and task.exchange.mode.changes
        logits = task.target.backend in self._mixing
        powers = Powers(
            calls=able,
            logits=logits,
            stretched_tokens=longest_tokens(task.target),
            other_tokens=longest_tokens(without_stretching(task.target)),
            pieces=task.joinable,
        )
        most = max(1, task.target.window_tokens // 2)
        return choose(
            task.shape,
            talk=task.talk,
            parts=-(-task.tokens // most),
            prompt_tokens=task.needed_tokens,
            powers=powers,
            text_tokens=task.tokens,
        )

    async def _do(self, task: LongTask, chosen: StrategyChoice) -> Exchange:
        if chosen.strategy is Strategy.FOCUS:
            return await self._focus(task, chosen)
        if chosen.strategy is Strategy.NBCE:
            if not task.shape.passages or not task.shape.task:
                raise CannotRead("the message is not a question with at least three separate passages")
            return with_passages(task, chosen)
        if chosen.strategy in (Strategy.PIECEWISE, Strategy.GATHER) and not task.shape.text.strip():
            raise CannotRead("the message has no text beside its task")
        if chosen.strategy is Strategy.PIECEWISE:
            return await self._planner(task, chosen)
        if chosen.strategy is Strategy.GATHER:
            return await self._gatherer(task, chosen)
        if chosen.strategy in READ or chosen.strategy is Strategy.TALK:
            return await self._read(task, chosen)
        longer = self._lengthened(task, chosen.why)
        if longer is None:
            most = longest_tokens(task.target) or task.target.window_tokens
            raise CannotRead(
                f"the message has {task.tokens} tokens, and the model {task.target.model!r} reaches {most} at most"
            )
        return longer

    def _lengthened(self, task: LongTask, why: str) -> Exchange | None:
        """Move the exchange to a longer window. A transformation goes to another deployment that fits text and answer,
        if there is one, and otherwise to the engine with stretched positions.
        """
        exchange = replace(task.exchange, turns=task.unmoved) if task.unmoved else task.exchange
        apart = without_stretching(task.target)
        if task.shape.kind is TaskKind.TRANSFORM and longest_tokens(apart) >= task.needed_tokens + task.tokens:
            exchange = replace(exchange, route=(apart, *exchange.route[1:]))
        return lengthened(exchange, task.tokens, self.name, why)

    async def _otherwise(self, task: LongTask, why: str, failed: Strategy) -> Exchange:
        """If a few passages are enough for the task, search the text for them. A transformation goes whole to a longer
        window that fits text and answer. Otherwise leave the prompt to the stage `fit`. `why` is the reason why the
        strategy failed.
        """
        if failed is Strategy.PIECEWISE and longest_tokens(task.target) >= task.needed_tokens + task.tokens:
            longer = self._lengthened(task, f"{why}; so the whole text goes to a longer window")
            if longer is not None:
                return longer
        if task.talk or not task.shape.task or task.shape.kind in ALL_OF_IT:
            return self._impossible(task, why, failed)
        return await self._focus(task, StrategyChoice(Strategy.FOCUS, f"{why}; so a few passages are used"))

    def _impossible(self, task: LongTask, why: str, failed: Strategy | None = None) -> Exchange:
        """Leave the prompt to the stage `fit`. Raises `ContextTooLong` if dropping old turns cannot make the prompt
        fit.
        """
        if task.talk or trim(task.exchange.prompt, task.sizes, task.room - PROMPT_TOKENS) is not None:
            return task.exchange.noted(self.name, "skipped", why)
        others = [Strategy.FOCUS, Strategy.TREE, Strategy.GATHER, Strategy.PIECEWISE, Strategy.REFINE]
        able = [one.value for one in others if self._could(task, one) and one is not failed]
        named = ", ".join(f'"{one}"' for one in able)
        remedy = f'Name another strategy in "foreword": {{"strategy": ...}}: {named}.' if able else ""
        room = answer_room(task.exchange, task.target)
        error = ContextTooLong(task.tokens, task.target.window_tokens, room, f"{why[:1].upper()}{why[1:]}. {remedy}")
        error.calls = task.exchange.calls
        raise error

    def _could(self, task: LongTask, strategy: Strategy) -> bool:
        """Whether the strategy is possible, so that a request may name it. The cost is not checked."""
        if not task.shape.task:
            return False
        if strategy is Strategy.PIECEWISE:
            return task.joinable
        return strategy is Strategy.FOCUS or self._reader is not None

    async def _focus(self, task: LongTask, chosen: StrategyChoice) -> Exchange:
        if not task.shape.task:
            raise CannotRead("no paragraph of the message asks for anything")
        words = wording_of(task.shape.language)
        free = await asyncio.to_thread(task.free_beside, words.passages)
        passages = await focus(task.shape.text, task.shape.task, max(0, free), task.count, self._embed)
        if not passages:
            return task.exchange.noted(self.name, "skipped", f"no passage fits into {max(0, free)} tokens")
        data = {"passages": len(passages)}
        return with_sources(task, chosen, in_message(passages, task.shape.origin), words.passages, data)

    async def _read(self, task: LongTask, chosen: StrategyChoice) -> Exchange:
        talk = chosen.strategy is Strategy.TALK
        if self._reader is None:
            raise CannotRead("no model may be called")
        words = wording_of(task.shape.language)
        instruction = words.talk if talk else task.shape.order or words.talk
        room = await asyncio.to_thread(self._room, task, words, instruction, talk)
        text, remaining = task.shape.text, tuple[Turn, ...]()
        if talk:
            text, remaining = await asyncio.to_thread(split_talk, task, words, room.final)
        refining = chosen.strategy is Strategy.REFINE
        room = quotes.beside_notes(room) if refining else room
        cut_up = parts if talk or refining else parts_of_documents
        pieces = await asyncio.to_thread(cut_up, text, quotes.part_tokens(room), task.count)
        tokens = sum(part.tokens for part in pieces)
        quote = quotes.refine(len(pieces), tokens, room) if refining else quotes.tree(len(pieces), tokens, room)
        quotes.check(quote, self._settings)
        if not task.exchange.may_call:
            reading = ReadingResult(tuple(replace(part, text=PREVIEWED) for part in pieces))
        elif refining:
            reading = await self._reader.refine(task.exchange, pieces, instruction, room, words, task.count)
        else:
            reading = await self._reader.tree(task.exchange, pieces, instruction, quote, room, words, task.count)
        data = {"quote": quote.data(), **reading.data()}
        exchange = replace(task.exchange, calls=(*task.exchange.calls, *reading.calls))
        task = replace(task, exchange=exchange)
        if talk:
            return with_talk_summary(task, chosen, reading.results, remaining, words.earlier, data)
        return with_sources(task, chosen, in_message(reading.results, task.shape.origin), words.final, data)

    def _room(self, task: LongTask, words: LongWording, instruction: str, talk: bool) -> WindowRoom:
        """Return how the window of each call is divided between the gateway's own words, the text and the result.
        Blocking, because tokens are counted.
        """
        result = min(self._settings.note_tokens, task.target.window_tokens // 8)
        prompt = PROMPT_TOKENS + around_part(words, task.count) + task.count(instruction) + PIECES * JOIN_TOKENS
        final = result + SOURCE_TOKENS if talk else task.free_beside(words.final)
        return WindowRoom(task.target.window_tokens, prompt, result, max(0, final))


def _named(exchange: Exchange) -> Strategy | None:
    """Return the strategy that the request names, or None. Raises `BadRequest` for an unknown name."""
    name = exchange.ask.controls.strategy
    if not name or exchange.ask.controls.contexts:
        return None
    try:
        return Strategy(name)
    except ValueError:
        known = ", ".join(Strategy)
        raise BadRequest(f"Unknown strategy {name!r}; known: {known}.", param="foreword.strategy") from None


def _system(turns: Sequence[Turn]) -> str:
    return "\n".join(turn.text for turn in turns if turn.role in SYSTEM_ROLES)
