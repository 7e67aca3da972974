"""Counts the tokens of the gateway's own prompts around a text, in each language."""

from collections.abc import Callable

from gateway.context.fence import fenced, marked
from gateway.context.long.wording import LongWording

SOURCE_TOKENS = 12
"""The tokens that a note adds to the last prompt: a number, a title and a blank line."""
JOIN_TOKENS = 2
"""The tokens of the blank line between two pieces or notes."""
LONGEST_NUMBER = 9999
TITLE_TOKENS = 24
"""The maximum number of tokens of a document's title."""

Count = Callable[[str], int]


def around_part(words: LongWording, count: Count) -> int:
    """Return the number of tokens of the longest prompt for a part, without the part itself and the task. Blocking."""
    numbers = {"n": LONGEST_NUMBER, "of": LONGEST_NUMBER, "task": "", "title": ""}
    prompts = [prompt.format(**numbers) for prompt in (words.map, words.reduce, words.refine)]
    title = TITLE_TOKENS
    return title + max(count(f"{prompt}\n{marked('', stable='-')}") for prompt in prompts)


def around_sources(instruction: str, language: str, count: Count) -> int:
    """Return the number of tokens of the last prompt, without the sources. Blocking."""
    return count(fenced((), language, instruction=instruction)) + JOIN_TOKENS
