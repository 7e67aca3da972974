"""A mined shape, and the rule for which fixed text is enough to tell a program's prompt."""

import re

from msgspec import Struct

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.align import strength
from offline_jobs.discover.sample import SampleText
from offline_jobs.discover.tokens import words

INSTRUCTION = 5
"""The words of a piece that tells the model what to do. A label has fewer."""
LABELLED = 20
"""The requests that a shape needs whose fixed text is a label alone."""
_LABEL = re.compile(r"\s*[^\W\d_][\w; ]{0,24}:\s*")
_BORDER = re.compile(r'[\n:"“”\'‘’(\[{<>|#*=`\]})-]\s*$|\n\s*$')


class MinedShape(Struct, frozen=True):
    """A shape, and the sampled texts that it was mined from."""

    shape: TextShape
    members: tuple[SampleText, ...]


def instructs(shape: TextShape) -> bool:
    """Whether a fixed piece is long enough to be an instruction."""
    return any(words(piece) >= INSTRUCTION for piece in shape.pieces)


def is_frame(shape: TextShape, requests: int = 0) -> bool:
    """Whether the fixed text is enough to tell a program's prompt from sentences that people happen to begin alike."""
    count, chars = strength(shape), shape.fixed_chars
    if shape.parts == 0:
        return count >= 8 and chars >= 40
    strong = [piece for piece in shape.pieces if words(piece) >= 3 and len(piece.strip()) >= 12]
    if len([piece for piece in shape.pieces if words(piece) >= 1]) >= 2 and count >= 4 and chars >= 20 and strong:
        return True
    if count >= 10 and chars >= 50:
        return True
    if any(_has_border(shape, piece) for piece in strong):
        return True
    return requests >= LABELLED and any(_LABEL.fullmatch(piece) for piece in (shape.pieces[0], shape.pieces[-1]))


def _has_border(shape: TextShape, piece: str) -> bool:
    """Whether a mark, a line break or the start of a sentence stands between a piece and a part."""
    if piece != shape.pieces[-1] and _BORDER.search(piece):
        return True
    inside = piece.lstrip()
    return (
        piece != shape.pieces[0]
        and bool(inside)
        and (piece[0] == "\n" or inside[0].isupper() or not inside[0].isalnum())
    )
