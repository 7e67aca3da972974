"""A document as the readers leave it: its text, and where its headings and pages begin in that text."""

from msgspec import Struct


class Heading(Struct, frozen=True):
    """A heading of level 1 (the highest) to 6, beginning at character `start` of the text."""

    start: int
    level: int
    title: str
    own_line: bool = True
    """Whether its first line is the heading alone, and no text of the section."""


class Document(Struct, frozen=True):
    """`pages[i]` is the character at which page i + 1 begins; empty where there are no pages."""

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
