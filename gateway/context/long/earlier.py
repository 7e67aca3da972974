"""Moves a long text from an earlier turn to the last message, if the task of the last message needs that text.

The request is then handled as if the client had sent the text together with the task.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.context.long.instruction import ASKS, TASK_CHARS, Instruction, asks_for_something, instruction_of, is_plain
from gateway.context.long.shape import RequestShape, shaped
from gateway.context.long.wording import wording_of

REST_SHARE = 2
"""The other turns may use at most the room of the prompt divided by this number. Otherwise it is the conversation that
fills the window, and not one text.
"""


class EarlierText(Struct, frozen=True):
    """The turns with the text in the last message, and the parts of that message. In place of the text, its own turn
    has the task that came with the text, or a remark.
    """

    turns: tuple[Turn, ...]
    shape: RequestShape


def with_earlier_text(turns: Sequence[Turn], sizes: Sequence[int], room: int, system: str) -> EarlierText | None:
    """Return the turns with the text of the longest earlier user turn in the last message.

    Returns None if the last message asks for nothing, or if the turns are too long for `room` for another reason.
    `sizes` are the numbers of tokens of the turns.
    """
    task = turns[-1].text.strip()
    users = [place for place, turn in enumerate(turns[:-1]) if turn.role == "user"]
    if not users or not task or len(task) > TASK_CHARS or asks_for_something(task) < ASKS:
        return None
    place = max(users, key=lambda user: sizes[user])
    if sum(sizes) - sizes[place] > room // REST_SHARE:
        return None
    earlier = turns[place].text
    split = instruction_of(earlier)
    if not split.task or not is_plain(split.task):
        split = Instruction("", 0, len(earlier))
    text = earlier[split.start : split.end]
    shape = shaped(f"{text}\n\n{task}", Instruction(task, 0, len(text)), system)
    remark = split.task or wording_of(shape.language).moved
    moved = (
        *turns[:place],
        Turn("user", remark),
        *turns[place + 1 : -1],
        Turn("user", f"{text}\n\n{task}"),
    )
    return EarlierText(moved, replace(shape, offset=split.start))
