"""A prompt as a file gives it: messages of fixed text and blanks, and what of the file was left out."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from gateway.errors import ForewordError

NOT_OF_A_NAME = re.compile(r"[^a-z0-9_]+")


class PromptFileBroken(ForewordError):
    """A file holds no prompt that can be imported. The message gives the reason and a remedy."""


class Blank(Struct, frozen=True):
    """A place that the application fills."""

    name: str


Body = tuple[str | Blank, ...]
"""Fixed text and blanks, in the order of the text."""


class FileMessage(Struct, frozen=True):
    role: str
    body: Body


class GivenPrompt(Struct, frozen=True):
    """One version of a prompt. `losses` are sentences for a person: what the file says and the prompt does not keep."""

    name: str
    messages: tuple[FileMessage, ...]
    losses: tuple[str, ...] = ()


def blank_name(expression: str) -> str:
    """Make a name for the blank that holds the value of an expression, such as `user_name` of `user.name`."""
    return NOT_OF_A_NAME.sub("_", expression.lower()).strip("_")[:40] or "value"


def joined(pieces: Iterable[str | Blank]) -> Body:
    """Join neighbouring pieces of text, and drop empty ones."""
    body: list[str | Blank] = []
    for piece in pieces:
        if isinstance(piece, str) and body and isinstance(body[-1], str):
            body[-1] += piece
        elif piece != "":
            body.append(piece)
    return tuple(body)


def stripped(body: Body) -> Body:
    """Remove white space from both ends, as tools do before they send a message."""
    pieces = list(body)
    if pieces and isinstance(pieces[0], str):
        pieces[0] = pieces[0].lstrip()
    if pieces and isinstance(pieces[-1], str):
        pieces[-1] = pieces[-1].rstrip()
    return joined(pieces)


def settings_losses(settings: Iterable[str]) -> Iterator[str]:
    """Yield the sentence on settings, since the application's own settings hold."""
    names = ", ".join(sorted(settings))
    if names:
        yield f"{names}: left out, since the settings of the application's requests hold"
