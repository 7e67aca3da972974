"""What the readers of source code find: a class, a function or another definition."""

from msgspec import Struct

LONGEST_TITLE = 80


class CodeBlock(Struct, frozen=True):
    """A class or function, including the comments and decorators above it. `level` is the heading level. It is 2 for a
    block at the top level of the file.
    """

    start: int
    end: int
    level: int
    title: str
    holds: bool = False
    """Whether the block may contain other blocks, as a class contains methods."""
