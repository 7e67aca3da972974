"""Chooses the strategy for a request that does not fit, and states the reason. The rules use features that are cheap to
compute, and are applied in order."""

from enum import StrEnum

from msgspec import Struct

from gateway.context.long.shape import RequestShape

FEW_PARTS = 8
"""The largest number of parts that are read one after another if their order matters."""


class Strategy(StrEnum):
    """The strategies. Their values are the names that a request may give in `"foreword": {"strategy": ...}`."""

    DIRECT = "direct"
    TRIMMED = "trimmed"
    FOCUS = "focus"
    NBCE = "nbce"
    INTERPOLATED = "interpolated"
    TREE = "tree"
    MAP_REDUCE = "map-reduce"
    REFINE = "refine"
    TALK = "talk"


class Powers(Struct, frozen=True):
    """The means that are available: whether a model may be called for notes, and the abilities of the engine that
    answers."""

    calls: bool = False
    logits: bool = False
    stretched_tokens: int = 0
    """The longest window of the model in tokens, with stretched positions or at another deployment. 0 if there is
    none."""
    search: bool = True


class StrategyChoice(Struct, frozen=True):
    strategy: Strategy
    why: str


def choose(shape: RequestShape, *, talk: bool, parts: int, prompt_tokens: int, powers: Powers) -> StrategyChoice | None:
    """The strategy for a prompt that is over its window, or None if none is possible.

    `parts` is the number of parts in which the text would be read. `prompt_tokens` is the number of tokens of prompt
    and answer.
    """
    stretches = powers.stretched_tokens >= prompt_tokens
    if talk:
        if powers.calls:
            return StrategyChoice(Strategy.TALK, "a conversation: its latest turns stay, earlier ones are summed up")
        if stretches:
            return StrategyChoice(Strategy.INTERPOLATED, "a conversation, and no model may be asked to sum it up")
        return StrategyChoice(Strategy.TRIMMED, "a conversation, and no model may be asked to sum it up")
    if shape.summary and powers.calls:
        if shape.whole and parts <= FEW_PARTS:
            return StrategyChoice(Strategy.REFINE, f"a summary in which order matters, of {parts} parts")
        return StrategyChoice(Strategy.TREE, f"a summary of {parts} parts")
    if shape.passages and shape.task and powers.logits and not shape.whole:
        return StrategyChoice(Strategy.NBCE, f"one question over {len(shape.passages)} independent passages")
    if shape.whole or shape.summary or not shape.task:
        if stretches:
            why = "the task needs the whole text" if shape.task else "no task stands apart from the text"
            return StrategyChoice(Strategy.INTERPOLATED, why)
        if powers.calls and shape.task:
            over = f", for {prompt_tokens} tokens are over every window" if powers.stretched_tokens else ""
            return StrategyChoice(
                Strategy.MAP_REDUCE, f"the task needs the whole text, which is read in {parts} parts{over}"
            )
    if shape.task and powers.search:
        return StrategyChoice(Strategy.FOCUS, "a question that a few passages of the text can answer")
    return None
