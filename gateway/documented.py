"""What the source says of a struct's fields, for pages and commands that explain them."""

import ast
import inspect
import textwrap
from itertools import pairwise

from msgspec import Struct


def field_texts(struct: type[Struct]) -> dict[str, str]:
    """The text that stands below each field, on one line; fields without one are left out."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for before, node in pairwise(body.body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(node, ast.Expr):
            found[before.target.id] = " ".join(str(getattr(node.value, "value", "")).split())
    return found
