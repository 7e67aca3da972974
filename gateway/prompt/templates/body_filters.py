"""The filters for template bodies, and the jinja environment with these filters. The result of each filter has a
maximum length.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CHARS = 400_000
"""The maximum length of a rendered part, and of the result of a filter, in characters."""
MAX_INDENT = 16


class RenderedTooLong(Exception):
    """The rendered part, or the result of a filter, is longer than `MAX_CHARS`."""


def fenced(text: str, kind: str = "") -> str:
    """Return the text in a code fence.

    The fence has more backticks than any run of backticks in the text, so the text cannot close the fence.
    """
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def indent(text: str, width: int = 4, first: bool = False) -> str:
    """Indent all lines except the first by `width` blanks, up to `MAX_INDENT`. With `first`, the first line is indented
    too.
    """
    blanks = " " * min(MAX_INDENT, max(0, width if isinstance(width, int) else 4))
    indented = "\n".join(blanks + line if line.strip() else line for line in text.splitlines())
    return indented if first else indented.removeprefix(blanks)


def join(items: Any, between: str = "") -> str:
    """Return the items as one text, with `between` after each item except the last."""
    texts = [str(item) for item in items]
    # checked before joining: many items and a long separator would fill the memory
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_CHARS:
        raise RenderedTooLong(f"renders to more than {MAX_CHARS} characters")
    return between.join(texts)


def one_line(text: str) -> str:
    """Return the text with each run of white space replaced by one blank."""
    return " ".join(text.split())


def bullets(items: Any) -> str:
    """Return the items of a list, or the lines of a text, as Markdown bullets."""
    lines = items.splitlines() if isinstance(items, str) else items
    return "\n".join(f"- {line}" for line in lines)


_JINJA_FILTERS = (
    "trim",
    "lower",
    "upper",
    "capitalize",
    "title",
    "default",
    "length",
    "first",
    "last",
)
_OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": join,
    "indent": indent,
    "fenced": fenced,
    "one_line": one_line,
    "bullets": bullets,
}
FILTERS = (*_JINJA_FILTERS, *_OWN_FILTERS)
TESTS = ("defined", "in", "eq", "ne")


def _capped(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with a check of its result's length.

    Without the check, a chain of filters could fill the memory.
    """

    @functools.wraps(work)
    def capped(*given: Any, **named: Any) -> Any:
        result = work(*given, **named)
        if isinstance(result, str) and len(result) > MAX_CHARS:
            raise RenderedTooLong(f"renders to more than {MAX_CHARS} characters")
        return result

    return capped


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, cache_size=0
    )
    filters = {**{name: env.filters[name] for name in _JINJA_FILTERS}, **_OWN_FILTERS}
    env.filters = {name: _capped(work) for name, work in filters.items()}
    env.tests = {name: env.tests[name] for name in TESTS}
    env.globals = {}
    return env


ENVIRONMENT = _environment()
