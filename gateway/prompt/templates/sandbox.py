"""The subset of jinja2 for template bodies: `if`, one level of `for`, and a dozen filters.

When a file is loaded, its syntax tree is checked against an allow-list. Calls, includes, imports, macros, assignments
and arithmetic are refused. The only attributes are those of an example, of `loop` and of `given`.
"""

import functools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from msgspec import Struct

from gateway.prompt.language.given import FIELDS
from gateway.prompt.templates.frontmatter import suggest

MAX_CHARS = 400_000
"""The maximum length of a rendered part in characters."""

MAX_SOURCE_CHARS = 100_000
MAX_NODES = 2000
MAX_DEPTH = 40
"""The maximum number of nodes, and the maximum depth, of a part's syntax tree."""
MAX_INDENT = 16

QUERY = "query"
"""The name of the client's whole text."""

LISTS = ("examples", "labels", "failures")
"""The lists that `for` may iterate over."""

EXAMPLE_FIELDS = ("input", "output")
GIVEN = "given"
"""The properties that the query itself specifies. Only fields are used, such as `given.length`."""
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


class ForbiddenSyntax(Exception):
    """The body uses something outside the allow-list. `line` counts from 1 within the part."""

    def __init__(self, what: str, line: int, word: str = "") -> None:
        super().__init__(what)
        self.what, self.line, self.word = what, line, word


class RenderedTooLong(Exception):
    """The rendered part exceeds `MAX_CHARS`."""


def fenced(text: str, kind: str = "") -> str:
    """Return the text between two fences. The fences are longer than any run of backticks in the text, so the text
    cannot close them.
    """
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}"


def indent(text: str, width: int = 4, first: bool = False) -> str:
    """Indent all lines but the first by `width` blanks, at most `MAX_INDENT`. With `first`, the first line is indented
    too.
    """
    blanks = " " * min(MAX_INDENT, max(0, width if isinstance(width, int) else 4))
    indented = "\n".join(blanks + line if line.strip() else line for line in text.splitlines())
    return indented if first else indented.removeprefix(blanks)


def join(items: Any, between: str = "") -> str:
    """Join the items to one text."""
    texts = [str(item) for item in items]
    # checked before joining: many items and a long separator would fill the memory
    if sum(map(len, texts)) + len(between) * len(texts) > MAX_CHARS:
        raise RenderedTooLong(f"renders to more than {MAX_CHARS} characters")
    return between.join(texts)


def one_line(text: str) -> str:
    """Return the text with each run of white space replaced by one blank."""
    return " ".join(text.split())


def bullets(items: Any) -> str:
    """Return a list, or the lines of a text, as Markdown bullets."""
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
    """Return the filter with a limit on its result. A chain of filters could otherwise fill the memory."""

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


class Value(Struct, frozen=True):
    """A slot in a plain body."""

    name: str


class Filled(Struct, frozen=True):
    """A test of whether a slot, or a field of `given`, has a value. If `holds` is False, the test is whether it has
    none.
    """

    name: str
    field: str = ""
    holds: bool = True


class SlotChoice(Struct, frozen=True):
    """Two bodies: `then` if all tests are true, and `otherwise` if not."""

    tests: tuple[Filled, ...]
    then: "Plain"
    otherwise: "Plain"


Plain: TypeAlias = tuple[str | Value | SlotChoice, ...]
"""A body of words, slots, and `if` with slots or fields of `given`. Most bodies are like this. Writing such a body
without jinja takes 1.2 us instead of 30 us.
"""


class WholeText(str):
    """A text that stays a separate piece of a rendering, so that its place is known without a search."""

    __slots__ = ()

    def __str__(self) -> str:
        # jinja calls `str` on each value and must get this object back
        return self


class CompiledBody(Struct, frozen=True):
    """One compiled part. `names` are the slots and lists in the part.

    `whole` tells whether every rendering writes `{{ query }}` exactly once, without a filter.
    """

    compiled: jinja2.Template
    names: frozenset[str]
    plain: Plain | None = None
    whole: bool = False

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the rendered text. Raises `RenderedTooLong`."""
        return "".join(self._pieces(values)).strip()

    def render_around(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return the text before and after the query in a `whole` body. Raises `RenderedTooLong`."""
        pieces = self._pieces({**values, QUERY: WholeText(values[QUERY])})
        place = next(index for index, piece in enumerate(pieces) if isinstance(piece, WholeText))
        return "".join(pieces[:place]).lstrip(), "".join(pieces[place + 1 :]).rstrip()

    def _pieces(self, values: Mapping[str, Any]) -> list[str]:
        pieces = self._written(values)
        return self._rendered(values) if pieces is None else pieces

    def _written(self, values: Mapping[str, Any]) -> list[str] | None:
        """Return the pieces, or None if jinja must render the body, for example to report a missing value."""
        pieces: list[str] = []
        if self.plain is None or not _write(self.plain, values, pieces):
            return None
        if sum(map(len, pieces)) > MAX_CHARS:
            raise RenderedTooLong(f"renders to more than {MAX_CHARS} characters")
        return pieces

    def _rendered(self, values: Mapping[str, Any]) -> list[str]:
        context = self.compiled.new_context(dict(values))
        pieces: list[str] = []
        total = 0
        for piece in self.compiled.root_render_func(context):
            pieces.append(piece)
            total += len(piece)
            if total > MAX_CHARS:
                raise RenderedTooLong(f"renders to more than {MAX_CHARS} characters")
        return pieces


def _write(plain: Plain, values: Mapping[str, Any], pieces: list[str]) -> bool:
    """Append the body's pieces to `pieces`. Return False if a slot has no text."""
    for step in plain:
        if isinstance(step, str):
            pieces.append(step)
            continue
        if isinstance(step, Value):
            value = values.get(step.name)
            if not isinstance(value, str):
                return False
            pieces.append(value)
            continue
        holds = _hold(step.tests, values)
        if holds is None or not _write(step.then if holds else step.otherwise, values, pieces):
            return False
    return True


def _hold(tests: Iterable[Filled], values: Mapping[str, Any]) -> bool | None:
    """Return whether all tests are true, or None if a value is not a string."""
    for test in tests:
        value = values.get(test.name)
        value = getattr(value, test.field, None) if test.field else value
        if not isinstance(value, str):
            return None
        if bool(value) is not test.holds:
            return False
    return True


def _tests(node: nodes.Node) -> tuple[Filled, ...] | None:
    """Return the tests of a condition that joins slots and fields by `and` and `not`, or None for any other
    condition.
    """
    match node:
        case nodes.Name():
            return (Filled(node.name),)
        case nodes.Getattr(node=nodes.Name(name=name), attr=attr):
            return (Filled(name, attr),)
        case nodes.Not():
            inner = _tests(node.node)
            return (Filled(inner[0].name, inner[0].field, not inner[0].holds),) if inner and len(inner) == 1 else None
        case nodes.And():
            left, right = _tests(node.left), _tests(node.right)
            return left + right if left and right else None
    return None


def _plain(body: Iterable[nodes.Node]) -> Plain | None:
    """Return the body as words, slots and choices, or None if it contains anything else."""
    steps: list[str | Value | SlotChoice] = []
    for node in body:
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                if isinstance(part, nodes.TemplateData):
                    steps.append(part.data)
                elif isinstance(part, nodes.Name):
                    steps.append(Value(part.name))
                else:
                    return None
        elif isinstance(node, nodes.If) and (tests := _tests(node.test)):
            then, otherwise = _plain(node.body), _plain(node.else_)
            if then is None or otherwise is None or node.elif_:
                return None
            steps.append(SlotChoice(tests, then, otherwise))
        else:
            return None
    return tuple(steps)


def _writes(body: Iterable[nodes.Node]) -> set[int]:
    """Return the set of possible counts of the bare query in a rendering: 0, 1, or 2 for more than once."""
    totals = {0}
    for node in body:
        totals = {min(2, total + times) for total in totals for times in _times(node)}
    return totals


def _times(node: nodes.Node) -> set[int]:
    match node:
        case nodes.Name():
            return {int(node.name == QUERY)}
        case nodes.Output():
            return _writes(node.nodes)
        case nodes.If():
            return _writes(node.body).union(_writes(node.else_), *(_writes(other.body) for other in node.elif_))
        case nodes.CondExpr():
            return _times(node.expr1) | (_times(node.expr2) if node.expr2 else {0})
        case nodes.For():
            return {0, 2} if _writes(node.body) | _writes(node.else_) != {0} else {0}
    return {0}


def compile_body(source: str, known: Collection[str]) -> CompiledBody:
    """Check and compile one part. `known` are the names that the part may use, besides `given`. Raises
    `ForbiddenSyntax`.
    """
    if len(source) > MAX_SOURCE_CHARS:
        raise ForbiddenSyntax(f"has {len(source)} characters; a part has at most {MAX_SOURCE_CHARS}", 1)
    try:
        tree = ENVIRONMENT.parse(source)
        _check_size(tree)
        names = frozenset(_check(tree, known, {}))
        plain = _plain(tree.body)
        whole = _writes(tree.body) == {1}
        return CompiledBody(jinja2.Template.from_code(ENVIRONMENT, ENVIRONMENT.compile(tree), {}), names, plain, whole)
    except jinja2.TemplateSyntaxError as error:
        raise ForbiddenSyntax(error.message or "is not valid", error.lineno) from error
    except (RecursionError, MemoryError) as error:
        raise ForbiddenSyntax(f"is nested too deeply; at most {MAX_DEPTH}", 1) from error
    except (UnicodeError, ValueError, OverflowError) as error:
        raise ForbiddenSyntax(f"is not valid: {error}", 1) from error


def _check_size(tree: nodes.Node) -> None:
    level, count, depth = [tree], 0, 0
    while level:
        count += len(level)
        depth += 1
        if count > MAX_NODES:
            raise ForbiddenSyntax(f"has more than {MAX_NODES} nodes of jinja", level[0].lineno)
        if depth > MAX_DEPTH:
            raise ForbiddenSyntax(f"is nested too deeply; at most {MAX_DEPTH}", level[0].lineno)
        level = [child for node in level for child in node.iter_child_nodes()]


def _check(node: nodes.Node, known: Collection[str], loop: Mapping[str, str]) -> Iterator[str]:
    """Check the tree and yield the names in it. `loop` maps each loop variable to its list."""
    if not isinstance(node, ALLOWED):
        # some nodes come from jinja itself and have no line
        raise ForbiddenSyntax(f"{_word(node)} is not allowed in a template", node.lineno or 1, _word(node))
    if isinstance(node, nodes.Name):
        if node.name in loop:
            return
        if node.name not in known:
            raise ForbiddenSyntax(
                f"no slot {node.name!r} is declared; {suggest(node.name, known)}", node.lineno, node.name
            )
        yield node.name
        return
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise ForbiddenSyntax(f"unknown filter {node.name!r}; {suggest(node.name, FILTERS)}", node.lineno, node.name)
    if isinstance(node, nodes.Test) and node.name not in TESTS:
        raise ForbiddenSyntax(f"unknown test {node.name!r}; {suggest(node.name, TESTS)}", node.lineno, node.name)
    if isinstance(node, nodes.Getattr):
        if _check_attribute(node, known, loop) == GIVEN:
            yield GIVEN
        return
    if isinstance(node, nodes.For):
        yield from _check_for(node, known, loop)
        return
    for child in node.iter_child_nodes():
        yield from _check(child, known, loop)


def _check_for(node: nodes.For, known: Collection[str], loop: Mapping[str, str]) -> Iterator[str]:
    if loop:
        raise ForbiddenSyntax("a `for` inside a `for` is not allowed", node.lineno, "for")
    if node.recursive or node.test is not None:
        raise ForbiddenSyntax("a `for` takes neither `if` nor `recursive`", node.lineno, "for")
    if not isinstance(node.target, nodes.Name) or not isinstance(node.iter, nodes.Name) or node.iter.name not in LISTS:
        raise ForbiddenSyntax(f"`for` runs one variable over {' or '.join(LISTS)}", node.lineno, "for")
    if node.target.name in known or node.target.name == "loop":
        raise ForbiddenSyntax(
            f"{node.target.name!r} is taken; choose another name for the loop's variable", node.lineno, node.target.name
        )
    yield from _check(node.iter, known, loop)
    inner = {node.target.name: node.iter.name, "loop": "loop"}
    for child in node.body:
        yield from _check(child, known, inner)
    for child in node.else_:
        yield from _check(child, known, loop)


def _check_attribute(node: nodes.Getattr, known: Collection[str], loop: Mapping[str, str]) -> str:
    """Return what the attribute belongs to: `given`, `loop`, or the list of a loop variable. Raises
    `ForbiddenSyntax`.
    """
    name = node.node.name if isinstance(node.node, nodes.Name) else ""
    # a slot of the same name wins
    owner = loop.get(name, GIVEN if name == GIVEN and GIVEN not in known else "")
    fields = {"examples": EXAMPLE_FIELDS, "loop": LOOP_FIELDS, GIVEN: FIELDS}.get(owner, ())
    if node.attr not in fields:
        others = "only an example's .input and .output, loop.index, and fields of `given`"
        allowed = f"known: {', '.join(fields)}" if fields else others
        raise ForbiddenSyntax(f"the attribute {node.attr!r} is not allowed; {allowed}", node.lineno, node.attr)
    return owner


def _word(node: nodes.Node) -> str:
    """Return the author's word for this node."""
    names = {"Call": "a call", "Getitem": "[...]", "Assign": "set", "AssignBlock": "set", "FromImport": "import"}
    name = type(node).__name__
    return names.get(name, name.lower())
