"""Builds the last prompt of each strategy. The text is replaced by something shorter."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.context.fence import fenced
from gateway.context.long.choose import Strategy, StrategyChoice
from gateway.context.long.frames import around_sources
from gateway.context.long.quote import CannotRead
from gateway.context.long.task import LongTask
from gateway.context.long.wording import LongWording
from gateway.context.window import PROMPT_TOKENS, trim
from gateway.exchange import Chunk, ContextPlan, Exchange


def in_message(chunks: Sequence[Chunk], start: int) -> tuple[Chunk, ...]:
    """Shift the positions of the chunks by `start`, the position of the text in the client's message."""
    return tuple(replace(chunk, start=chunk.start + start, end=chunk.end + start) for chunk in chunks)


def with_sources(
    task: LongTask, chosen: StrategyChoice, results: Sequence[Chunk], instruction: str, data: Mapping[str, Any]
) -> Exchange:
    """Return the exchange with the results in place of the text in the last message."""
    sources = fenced(results, task.shape.language, instruction=instruction)
    turns = (*task.exchange.prompt[:-1], Turn("user", f"{sources}\n\n{task.shape.task}".strip()))
    return with_plan(task, chosen, turns, results, data)


def with_passages(task: LongTask, chosen: StrategyChoice) -> Exchange:
    """Return the exchange with the passages that the engine reads in parallel."""
    ask = task.exchange.ask
    controls = replace(ask.controls, contexts=task.shape.passages)
    exchange = replace(task.exchange, ask=replace(ask, controls=controls))
    turns = (*exchange.prompt[:-1], Turn("user", task.shape.task))
    return with_plan(replace(task, exchange=exchange), chosen, turns, (), {"passages": len(task.shape.passages)})


def split_talk(task: LongTask, words: LongWording, tokens: int) -> tuple[str, tuple[Turn, ...]]:
    """Return the earlier turns as one text, and the turns that stay. Raises `CannotRead` if the last message alone is
    too long.
    """
    turns = task.exchange.prompt
    frame = around_sources(words.earlier, task.shape.language, task.count)
    places = trim(turns, task.sizes, task.room - PROMPT_TOKENS - frame - tokens)
    if places is None:
        raise CannotRead("the last message alone is over the window")
    remaining = tuple(turns[place] for place in places)
    gone = [turn for place, turn in enumerate(turns) if place not in set(places)]
    return "\n\n".join(f"{turn.role}: {turn.text}" for turn in gone), remaining


def with_talk_summary(
    task: LongTask,
    chosen: StrategyChoice,
    results: Sequence[Chunk],
    remaining: Sequence[Turn],
    instruction: str,
    data: Mapping[str, Any],
) -> Exchange:
    """Return the exchange with a summary of the dropped turns before the first remaining user turn."""
    first = next(place for place, turn in enumerate(remaining) if turn.role == "user")
    sources = fenced(results, task.shape.language, instruction=instruction)
    summary = Turn("user", f"{sources}\n\n{remaining[first].text}")
    turns = (*remaining[:first], summary, *remaining[first + 1 :])
    gone = len(task.exchange.prompt) - len(remaining)
    return with_plan(task, chosen, turns, results, {**data, "dropped_turns": gone}, gone)


def with_plan(
    task: LongTask,
    chosen: StrategyChoice,
    turns: tuple[Turn, ...],
    results: Sequence[Chunk],
    data: Mapping[str, Any],
    dropped: int = 0,
) -> Exchange:
    """Return the exchange with the prompt `turns` and an account of how the text was shortened."""
    said = account(chosen.strategy, task.text_tokens, sum(result.tokens for result in results), data)
    plan = ContextPlan(chosen.strategy.value, task.target.window_tokens, 0, dropped, said=said)
    chunks = (*task.exchange.chunks, *results)
    figures = {"tokens": task.tokens, "window_tokens": task.target.window_tokens, **data}
    exchange = replace(task.exchange, turns=turns, chunks=chunks, plan=plan)
    return exchange.noted("condense", chosen.strategy.value, chosen.why, figures)


def account(strategy: Strategy, text_tokens: int, sent_tokens: int, data: Mapping[str, Any]) -> str:
    """Return a short account of what was left out, condensed or read in parts."""
    quote = data.get("quote") or {}
    if strategy is Strategy.FOCUS:
        left_out = max(0, text_tokens - sent_tokens)
        return f"{data['passages']} passages were chosen; about {left_out} of {text_tokens} tokens of the text left out"
    if strategy is Strategy.TALK:
        return f"{data['dropped_turns']} earlier turns summed up in {sent_tokens} tokens"
    if strategy is Strategy.NBCE:
        return f"{data['passages']} passages read beside each other"
    if strategy is Strategy.PIECEWISE:
        return f"the text is transformed in {data['pieces']} pieces"
    if not quote:
        if not sent_tokens:
            return f"{data.get('rows', 0)} rows sorted by code"
        return f"{data.get('rows', 0)} rows of tables counted by code; the rows themselves left out"
    parts = [f"{text_tokens} tokens read in {quote['parts']} parts and condensed to {sent_tokens}"]
    if data.get("rows"):
        parts.append(f"{data['rows']} rows of tables counted by code")
    if data.get("unread"):
        parts.append(f"{data['unread']} parts could not be read")
    if data.get("cut"):
        parts.append(f"{data['cut']} answers cut at their limit")
    if data.get("stopped"):
        parts.append("results shortened to fit")
    return "; ".join(parts)
