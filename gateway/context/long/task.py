"""A request that does not fit its window, with the data for shortening it."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from gateway.ask import Turn
from gateway.context.long.frames import around_sources
from gateway.context.long.shape import RequestShape
from gateway.context.window import PROMPT_TOKENS, TURN_TOKENS, answer_room
from gateway.exchange import Exchange, Target


class LongTask(Struct, frozen=True):
    """The request, its parts and their sizes."""

    exchange: Exchange
    target: Target
    shape: RequestShape
    talk: bool
    sizes: Sequence[int]
    """The number of tokens of each turn."""
    task_tokens: int
    room: int
    """The number of tokens that the prompt may use in the window."""
    count: Callable[[str], int]
    unmoved: tuple[Turn, ...] = ()
    """The turns as they were sent, if the text was moved to the last message from an earlier turn."""

    @property
    def tokens(self) -> int:
        return PROMPT_TOKENS + sum(self.sizes)

    @property
    def needed_tokens(self) -> int:
        """The number of tokens of the prompt and the room for an answer."""
        return self.tokens + answer_room(self.exchange, self.target)

    @property
    def beside(self) -> int:
        """The number of tokens of the task and the other messages, without the text."""
        return self.task_tokens + sum(self.sizes[:-1])

    @property
    def text_tokens(self) -> int:
        """The number of tokens of the text."""
        return max(0, self.tokens - PROMPT_TOKENS - self.beside)

    def free_beside(self, instruction: str) -> int:
        """Return the number of tokens that remain for sources in the last prompt, beside the instruction. Blocking."""
        frame = around_sources(instruction, self.shape.language, self.count)
        return self.room - PROMPT_TOKENS - TURN_TOKENS - frame - self.beside

    @property
    def joinable(self) -> bool:
        """Whether the answer can be composed of several answers. This is not possible with tool calls, a required
        output format or several choices.
        """
        ask = self.exchange.ask
        return ask.choices == 1 and not ask.has_tools and not ask.has_format and self.exchange.procedure is None
