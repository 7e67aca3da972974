"""Reads the docstrings of a struct's fields from its source. The documentation, commands and error messages quote these
docstrings.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct


def field_texts(struct: type[Struct]) -> dict[str, str]:
    """Return the docstring of each field as one line, by the name of the field. Inherited fields are included. Fields
    without a docstring are left out.
    """
    texts: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if issubclass(base, Struct) and base is not Struct:
            texts.update(_own_texts(base))
    return texts


def _own_texts(struct: type[Struct]) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for before, node in pairwise(body.body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(node, ast.Expr):
            texts[before.target.id] = " ".join(str(getattr(node.value, "value", "")).split())
    return texts


def listed_fields(of: Any, path: Sequence[str] = ()) -> Iterator[str]:
    """Yield the names of the fields that the object at `path` may have, if they can be listed."""
    kind, inner = get_origin(of), get_args(of)
    if isinstance(of, type) and issubclass(of, Struct):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(of)}
        yield from listed_fields(fields.get(path[0]), path[1:]) if path else fields
    elif kind in (list, tuple, dict) and path:
        yield from listed_fields(inner[-1] if kind is dict else inner[0], path[1:])
    elif kind not in (Literal, list, tuple, dict):
        for member in inner[:1] if kind is Annotated else inner:
            yield from listed_fields(member, path)


def listed_values(of: Any, path: Sequence[str] = ()) -> Iterator[str]:
    """Yield the values that the field at `path` may have, if they can be listed."""
    kind, inner = get_origin(of), get_args(of)
    if kind is Literal and not path:
        yield from map(str, inner)
    elif kind is Annotated:
        yield from listed_values(inner[0], path)
    elif isinstance(of, type) and issubclass(of, Enum) and not path:
        yield from (str(member.value) for member in of)
    elif isinstance(of, type) and issubclass(of, Struct) and path:
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(of)}
        yield from listed_values(fields.get(path[0]), path[1:])
    elif kind in (list, tuple, dict) and path:
        yield from listed_values(inner[-1] if kind is dict else inner[0], path[1:])
    elif kind not in (Literal, list, tuple, dict):
        for member in inner:  # the members of a union
            yield from listed_values(member, path)
