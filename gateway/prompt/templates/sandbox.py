"""The subset of jinja2 for template bodies: `if`, one level of `for`, and about a dozen filters.

When a file is loaded, `allow_list.py` checks the syntax tree of each body. `body_filters.py` has the filters.
`plain_body.py` writes simple bodies without jinja.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from msgspec import Struct

from gateway.prompt.templates.allow_list import MAX_DEPTH, ForbiddenSyntax, check, check_size
from gateway.prompt.templates.body_filters import ENVIRONMENT, MAX_CHARS, RenderedTooLong
from gateway.prompt.templates.plain_body import Plain, plain_of, write

MAX_SOURCE_CHARS = 100_000

QUERY = "query"
"""The variable for the client's whole text."""


class WholeText(str):
    """A text that jinja returns as a separate piece of the rendering. Its position is therefore known
    without a search.
    """

    __slots__ = ()

    def __str__(self) -> str:
        # jinja calls `str` on each value and must get this object back
        return self


class CompiledBody(Struct, frozen=True):
    """One compiled part. `names` are the slots and lists that the part uses.

    `whole` is True if every rendering contains `{{ query }}` exactly once, without a filter.
    """

    compiled: jinja2.Template
    names: frozenset[str]
    plain: Plain | None = None
    whole: bool = False

    def render(self, values: Mapping[str, Any]) -> str:
        return "".join(self._pieces(values)).strip()

    def render_around(self, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return the rendered text before the query and the text after the query. Raises `RenderedTooLong`.

        The body must be `whole`.
        """
        pieces = self._pieces({**values, QUERY: WholeText(values[QUERY])})
        place = next(index for index, piece in enumerate(pieces) if isinstance(piece, WholeText))
        return "".join(pieces[:place]).lstrip(), "".join(pieces[place + 1 :]).rstrip()

    def _pieces(self, values: Mapping[str, Any]) -> list[str]:
        pieces = self._written(values)
        return self._rendered(values) if pieces is None else pieces

    def _written(self, values: Mapping[str, Any]) -> list[str] | None:
        """Return the rendered pieces without using jinja.

        Return None if the body needs jinja, for example to report a missing value.
        """
        pieces: list[str] = []
        if self.plain is None or not write(self.plain, values, pieces):
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


def _writes(body: Iterable[nodes.Node]) -> set[int]:
    """Return how many times a rendering may contain the query without a filter.

    The result is a set of all possible numbers. The number 2 means more than once.
    """
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
    """Check and compile one part. Raises `ForbiddenSyntax`.

    `known` are the names that the part may use in addition to `given`.
    """
    if len(source) > MAX_SOURCE_CHARS:
        raise ForbiddenSyntax(f"has {len(source)} characters; a part has at most {MAX_SOURCE_CHARS}", 1)
    try:
        tree = ENVIRONMENT.parse(source)
        check_size(tree)
        names = frozenset(check(tree, known, {}))
        plain = plain_of(tree.body)
        whole = _writes(tree.body) == {1}
        return CompiledBody(jinja2.Template.from_code(ENVIRONMENT, ENVIRONMENT.compile(tree), {}), names, plain, whole)
    except jinja2.TemplateSyntaxError as error:
        raise ForbiddenSyntax(error.message or "is not valid", error.lineno) from error
    except (RecursionError, MemoryError) as error:
        raise ForbiddenSyntax(f"is nested too deeply; at most {MAX_DEPTH}", 1) from error
    except (UnicodeError, ValueError, OverflowError) as error:
        raise ForbiddenSyntax(f"is not valid: {error}", 1) from error
