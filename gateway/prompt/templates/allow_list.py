"""Checks the syntax tree of a template's body against an allow-list.

Calls, includes, imports, macros, assignments and arithmetic are refused. Attributes are allowed only on an example,
`loop` and `given`.
"""

from collections.abc import Collection, Iterator, Mapping

from jinja2 import nodes

from gateway.prompt.language.given import FIELDS
from gateway.prompt.templates.body_filters import FILTERS, TESTS
from gateway.prompt.templates.frontmatter import suggest

MAX_NODES = 2000
MAX_DEPTH = 40
"""The maximum number of nodes and the maximum depth of the syntax tree of one part."""
LISTS = ("examples", "labels", "failures")
"""The lists that `for` may iterate over."""
EXAMPLE_FIELDS = ("input", "output")
GIVEN = "given"
"""The variable for properties of the answer that the query itself specifies. A body can use only its fields, such as
`given.length`.
"""
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
    """The body uses syntax that the allow-list does not contain. `line` counts from 1 within the part."""

    def __init__(self, what: str, line: int, word: str = "") -> None:
        super().__init__(what)
        self.what, self.line, self.word = what, line, word


def check_size(tree: nodes.Node) -> None:
    level, count, depth = [tree], 0, 0
    while level:
        count += len(level)
        depth += 1
        if count > MAX_NODES:
            raise ForbiddenSyntax(f"has more than {MAX_NODES} nodes of jinja", level[0].lineno)
        if depth > MAX_DEPTH:
            raise ForbiddenSyntax(f"is nested too deeply; at most {MAX_DEPTH}", level[0].lineno)
        level = [child for node in level for child in node.iter_child_nodes()]


def check(node: nodes.Node, known: Collection[str], loop: Mapping[str, str]) -> Iterator[str]:
    """Check the tree, and yield the slots and lists that it uses. Raises `ForbiddenSyntax`.

    `known` are the names that the part may use. `loop` maps each loop variable to the list of its loop.
    """
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
        yield from check(child, known, loop)


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
    yield from check(node.iter, known, loop)
    inner = {node.target.name: node.iter.name, "loop": "loop"}
    for child in node.body:
        yield from check(child, known, inner)
    for child in node.else_:
        yield from check(child, known, loop)


def _check_attribute(node: nodes.Getattr, known: Collection[str], loop: Mapping[str, str]) -> str:
    """Return the owner of the attribute: `given`, `loop`, or the list of a loop variable. Raises `ForbiddenSyntax`."""
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
    """Return the name of a node in the words of a template's author, such as `set` for an assignment."""
    names = {"Call": "a call", "Getitem": "[...]", "Assign": "set", "AssignBlock": "set", "FromImport": "import"}
    name = type(node).__name__
    return names.get(name, name.lower())
