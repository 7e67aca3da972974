"""The tokens of our own prompts around a text, as the model counts them; they depend on the language."""

from collections.abc import Callable

from gateway.context.fence import fenced, marked
from gateway.context.long.wording import LongWording

SOURCE_TOKENS = 12
"""A number, a title and a blank line for each note in the last prompt."""
JOIN_TOKENS = 2
"""A blank line between two pieces or notes that are read as one."""
LONGEST_NUMBER = 9999

Count = Callable[[str], int]


def around_part(words: LongWording, count: Count) -> int:
    """The longest of the prompts that a part is read with, without the task. Blocking."""
    numbers = {"n": LONGEST_NUMBER, "of": LONGEST_NUMBER, "task": ""}
    prompts = [prompt.format(**numbers) for prompt in (words.map, words.reduce, words.refine)]
    return max(count(f"{prompt}\n{marked('', stable='-')}") for prompt in prompts)


def around_sources(said: str, language: str, count: Count) -> int:
    """The last prompt without its sources. Blocking."""
    return count(fenced((), language, instruction=said)) + JOIN_TOKENS
