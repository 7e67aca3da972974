"""The formats from which prompts can be imported, by name."""

from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.prompt.given.dotprompt import read_dotprompt
from gateway.prompt.given.given_prompt import GivenPrompt
from gateway.prompt.given.langfuse import read_langfuse
from gateway.prompt.given.litellm import read_litellm
from gateway.prompt.given.plain_file import read_plain
from gateway.prompt.given.promptfoo import read_promptfoo
from gateway.prompt.given.tensorzero import read_tensorzero

FORMATS: Mapping[str, Callable[[Path], list[GivenPrompt]]] = {
    "file": read_plain,
    "langfuse": read_langfuse,
    "tensorzero": read_tensorzero,
    "dotprompt": read_dotprompt,
    "litellm": read_litellm,
    "promptfoo": read_promptfoo,
}
