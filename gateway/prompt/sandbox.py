"""The jinja2 that template bodies may use: `if`, one level of `for`, and a dozen filters.

The allow-list is checked on the syntax tree when a file is loaded. What is not listed here cannot
be written: no call, no include or import, no macro, no assignment, no arithmetic, no attribute but
those of an example and of `loop`.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from gateway.prompt.frontmatter import suggest

MAX_CHARS = 400_000
"""The most that one part of a template may render to."""

LISTS = ("examples", "labels", "failures")
"""What `for` may run over, besides slots."""

EXAMPLE_FIELDS = ("input", "output")
LOOP_FIELDS = ("index", "index0", "first", "last", "length")

ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.If,
    nodes.For,
    nodes.Const,
    nodes.List,
    nodes.Tuple,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Getattr,
)


class NotAllowed(Exception):
    """The body uses something outside the allow-list. `line` counts from 1 within the part."""

    def __init__(self, what: str, line: int, word: str = "") -> None:
        super().__init__(what)
        self.what, self.line, self.word = what, line, word


class TooLong(Exception):
    """The rendered part exceeds `MAX_CHARS`."""


def fenced(text: str, kind: str = "") -> str:
    """The text between two fences that it cannot close: each is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def one_line(text: str) -> str:
    """The text with each run of white space as one blank."""
    return " ".join(text.split())


def bullets(items: Any) -> str:
    """A list, or the lines of a text, as Markdown bullets."""
    lines = items.splitlines() if isinstance(items, str) else items
    return "\n".join(f"- {line}" for line in lines)


_JINJA_FILTERS = (
    "trim",
    "lower",
    "upper",
    "capitalize",
    "title",
    "join",
    "default",
    "length",
    "first",
    "last",
    "indent",
)
_OWN_FILTERS: dict[str, Callable[..., Any]] = {"fenced": fenced, "one_line": one_line, "bullets": bullets}
FILTERS = (*_JINJA_FILTERS, *_OWN_FILTERS)
TESTS = ("defined", "in", "eq", "ne")


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, cache_size=0
    )
    env.filters = {**{name: env.filters[name] for name in _JINJA_FILTERS}, **_OWN_FILTERS}
    env.tests = {name: env.tests[name] for name in TESTS}
    env.globals = {}
    return env


ENVIRONMENT = _environment()


class Body(Struct, frozen=True):
    """One compiled part. `names` are the slots and lists that it uses."""

    compiled: jinja2.Template
    names: frozenset[str]

    def render(self, values: Mapping[str, Any]) -> str:
        """The text. Raises `TooLong`."""
        context = self.compiled.new_context(dict(values))
        pieces: list[str] = []
        total = 0
        for piece in self.compiled.root_render_func(context):
            pieces.append(piece)
            total += len(piece)
            if total > MAX_CHARS:
                raise TooLong(f"renders to more than {MAX_CHARS} characters")
        return "".join(pieces).strip()


def compile_body(source: str, known: Collection[str]) -> Body:
    """Check and compile one part. `known` are the names that it may use. Raises `NotAllowed`."""
    try:
        tree = ENVIRONMENT.parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise NotAllowed(error.message or "is not valid", error.lineno) from error
    names = frozenset(_check(tree, known, {}))
    try:
        return Body(ENVIRONMENT.from_string(source), names)
    except jinja2.TemplateSyntaxError as error:
        raise NotAllowed(error.message or "is not valid", error.lineno) from error


def _check(node: nodes.Node, known: Collection[str], loop: Mapping[str, str]) -> Iterator[str]:
    """Walk the tree; yields the names used. `loop` maps the loop's variables to what they run over."""
    if not isinstance(node, ALLOWED):
        raise NotAllowed(f"{_word(node)} is not allowed in a template", node.lineno, _word(node))
    if isinstance(node, nodes.Name):
        if node.name in loop:
            return
        if node.name not in known:
            raise NotAllowed(f"no slot {node.name!r} is declared; {suggest(node.name, known)}", node.lineno, node.name)
        yield node.name
        return
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise NotAllowed(f"unknown filter {node.name!r}; {suggest(node.name, FILTERS)}", node.lineno, node.name)
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise NotAllowed(f"unknown test {node.name!r}; {suggest(node.name, TESTS)}", node.lineno, node.name)
    if isinstance(node, nodes.Getattr):
        _check_attribute(node, loop)
        return
    if isinstance(node, nodes.For):
        yield from _check_for(node, known, loop)
        return
    for child in node.iter_child_nodes():
        yield from _check(child, known, loop)


def _check_for(node: nodes.For, known: Collection[str], loop: Mapping[str, str]) -> Iterator[str]:
    if loop:
        raise NotAllowed("a `for` inside a `for` is not allowed", node.lineno, "for")
    if node.recursive or node.test is not None:
        raise NotAllowed("a `for` takes neither `if` nor `recursive`", node.lineno, "for")
    if not isinstance(node.target, nodes.Name) or not isinstance(node.iter, nodes.Name) or node.iter.name not in LISTS:
        raise NotAllowed(f"`for` runs one variable over {' or '.join(LISTS)}", node.lineno, "for")
    if node.target.name in known or node.target.name == "loop":
        raise NotAllowed(
            f"{node.target.name!r} is taken; name the loop's variable otherwise", node.lineno, node.target.name
        )
    yield from _check(node.iter, known, loop)
    inner = {node.target.name: node.iter.name, "loop": "loop"}
    for child in node.body:
        yield from _check(child, known, inner)
    for child in node.else_:
        yield from _check(child, known, loop)


def _check_attribute(node: nodes.Getattr, loop: Mapping[str, str]) -> None:
    over = loop.get(node.node.name, "") if isinstance(node.node, nodes.Name) else ""
    fields = {"examples": EXAMPLE_FIELDS, "loop": LOOP_FIELDS}.get(over, ())
    if node.attr not in fields:
        allowed = f"known: {', '.join(fields)}" if fields else "only an example's .input and .output, and loop.index"
        raise NotAllowed(f"the attribute {node.attr!r} is not allowed; {allowed}", node.lineno, node.attr)


def _word(node: nodes.Node) -> str:
    """What the author wrote that became this node, as well as it can be told."""
    names = {"Call": "a call", "Getitem": "[...]", "Assign": "set", "AssignBlock": "set", "FromImport": "import"}
    name = type(node).__name__
    return names.get(name, name.lower())
