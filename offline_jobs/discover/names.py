"""Makes names for found prompts from words of their fixed text."""

import re
from collections.abc import Collection

from gateway.prompt.found.found_prompt import FoundPrompt

WORDS = 4
LONGEST = 40
_WORD = re.compile(r"[a-z][a-z']+")
_COMMON_WORDS = """a an and are as at be by can could do for from given have if in into is it its me my of on or please
should the their them then there this that to was we were what which will with would you your i am identity purpose"""
_COMMON = frozenset(_COMMON_WORDS.split())


def name_of(prompt: FoundPrompt, taken: Collection[str]) -> str:
    """Return a name of a few words that is not in `taken`."""
    pieces = [piece for shape in reversed(prompt.newest.shapes) for piece in shape.pieces]
    text = max(pieces, key=lambda piece: min(len(piece), 200), default="")
    words = [word.strip("'") for word in _WORD.findall(text.lower()) if word not in _COMMON]
    name = "-".join(words[:WORDS])[:LONGEST].strip("-") or "prompt"
    return name if name not in taken else f"{name}-{prompt.id[-4:]}"
