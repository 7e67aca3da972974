"""Chooses the strategy for a request that does not fit, and states the reason.

The kind of the task decides, together with what the model and the gateway can do. If the kind is unsure, a strategy
that reads the whole text is preferred to one that reads a part.
"""

from enum import StrEnum

from msgspec import Struct

from gateway.context.long.shape import RequestShape
from gateway.context.task.head import TaskKind

FEW_PARTS = 8
"""The maximum number of parts that are read one after another if their order matters."""


class Strategy(StrEnum):
    """The strategies. A request names one in `"foreword": {"strategy": ...}`."""

    DIRECT = "direct"
    TRIMMED = "trimmed"
    FOCUS = "focus"
    NBCE = "nbce"
    INTERPOLATED = "interpolated"
    TREE = "tree"
    MAP_REDUCE = "map-reduce"
    GATHER = "gather"
    PIECEWISE = "piecewise"
    REFINE = "refine"
    TALK = "talk"


class Powers(Struct, frozen=True):
    """What is possible. `calls` tells whether a model may be called with parts of the text, and `logits` whether the
    answering engine can read passages in parallel.
    """

    calls: bool = False
    logits: bool = False
    stretched_tokens: int = 0
    """The longest window of the model in tokens, with stretched positions or at another deployment. 0 if there is
    none.
    """
    other_tokens: int = 0
    """The longest window in tokens at another deployment, without stretched positions. 0 if there is none."""
    pieces: bool = True
    """Whether the answer can be composed of the answers to several calls."""


class StrategyChoice(Struct, frozen=True):
    strategy: Strategy
    why: str


def choose(
    shape: RequestShape, *, talk: bool, parts: int, prompt_tokens: int, powers: Powers, text_tokens: int = 0
) -> StrategyChoice | None:
    """Return the strategy for a prompt over its window, or None if none is possible.

    `parts` is the number of parts into which the text would be split. `prompt_tokens` counts prompt and answer.
    `text_tokens` is the number of tokens of the text. For a transformation, `text_tokens` is added to `prompt_tokens`,
    since the answer is as long as the text.
    """
    stretches = powers.stretched_tokens >= prompt_tokens
    if talk:
        return _talk(powers, stretches)
    if shape.kind is TaskKind.OTHER:
        return StrategyChoice(Strategy.INTERPOLATED, "no task stands apart from the text") if stretches else None
    unsure = "" if shape.verdict.sure else f"; it is unsure ({shape.verdict.trust:.2f})"
    if unsure and stretches:
        return StrategyChoice(Strategy.INTERPOLATED, f"the task may need the whole text{unsure}")
    if shape.kind is TaskKind.TRANSFORM:
        why, tokens = "the task transforms the whole text", prompt_tokens + text_tokens
        return _whole(Strategy.PIECEWISE, why, unsure, parts, tokens, powers)
    if shape.kind is TaskKind.WHOLE:
        return _whole(Strategy.GATHER, "the task needs the whole text", unsure, parts, prompt_tokens, powers)
    if shape.kind is TaskKind.SUMMARY:
        return _summary(shape, unsure, parts, stretches, powers)
    if shape.passages and powers.logits:
        return StrategyChoice(Strategy.NBCE, f"one question over {len(shape.passages)} independent passages{unsure}")
    return StrategyChoice(Strategy.FOCUS, f"a question that a few passages of the text can answer{unsure}")


def _talk(powers: Powers, stretches: bool) -> StrategyChoice:
    if powers.calls:
        return StrategyChoice(Strategy.TALK, "a conversation: its latest turns stay, earlier ones are summed up")
    why = "a conversation, and no model may be asked to sum it up"
    return StrategyChoice(Strategy.INTERPOLATED if stretches else Strategy.TRIMMED, why)


def _whole(strategy: Strategy, why: str, unsure: str, parts: int, tokens: int, powers: Powers) -> StrategyChoice | None:
    """Return `strategy`, or `interpolated` if the prompt and the answer fit a longer window. Both strategies read the
    whole text. Stretched positions come after `piecewise`, since a model changes pieces better than a whole that is
    far over the window it reads well (`benchmarks/regret.py`).

    Returns None if neither is possible. An answer from only a few passages would be worse than no answer.
    """
    able = powers.calls and (strategy is not Strategy.PIECEWISE or powers.pieces)
    stretching_is_last = able and strategy is Strategy.PIECEWISE
    if (powers.other_tokens if stretching_is_last else powers.stretched_tokens) >= tokens:
        return StrategyChoice(Strategy.INTERPOLATED, why)
    if not able:
        return None
    over = f", for {tokens} tokens are over every window" if 0 < powers.stretched_tokens < tokens else ""
    return StrategyChoice(strategy, f"{why}, which is read in {parts} parts{over}{unsure}")


def _summary(shape: RequestShape, unsure: str, parts: int, stretches: bool, powers: Powers) -> StrategyChoice | None:
    if not powers.calls:
        return StrategyChoice(Strategy.INTERPOLATED, "a summary of the whole text") if stretches else None
    if shape.ordered and parts <= FEW_PARTS:
        return StrategyChoice(Strategy.REFINE, f"a summary in which order matters, of {parts} parts{unsure}")
    return StrategyChoice(Strategy.TREE, f"a summary of {parts} parts{unsure}")
