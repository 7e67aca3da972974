"""Reads the YAML head of a template file as plain data, and records the place of each key.

Every scalar stays a text until it is converted to the type of a struct's field. This keeps the characters that the
author wrote in values such as `yes` and `12`.
"""

import difflib
import functools
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from gateway.errors import TemplateError
from gateway.prompt.templates import plain_yaml
from gateway.prompt.templates.plain_yaml import QUOTE_IT, NotPlain, Path

S = TypeVar("S", bound=Struct)
Data = dict[str, Any]

FENCE = "---"
LARGEST = 999_999_999
"""The largest number that a head may contain."""


class FrontMatterHead:
    """The data in the head of one file, with the place of each key."""

    def __init__(self, source: str, file: str, first_line: int) -> None:
        self.file = file
        self._first_line = first_line
        try:
            data, places = plain_yaml.read(source)
        except NotPlain as error:
            raise TemplateError(file, error.what, error.line + first_line - 1, error.column) from error
        self._places = {path: (line + first_line - 1, column) for path, (line, column) in places.items()}
        if data is None:
            raise TemplateError(file, "the front matter is empty; it needs schema, id, version", first_line, 1)
        if not isinstance(data, dict):
            raise TemplateError(file, "the front matter must be `key: value` lines", first_line, 1)
        self.data: Data = data

    def error(self, what: str, *path: str | int) -> TemplateError:
        """Return a `TemplateError` at the place of the key at `path`.

        If the file has no such key, the error is at the nearest enclosing key that the file has.
        """
        while path and path not in self._places:
            path = path[:-1]
        line, column = self._places.get(path, (self._first_line, 1))
        return TemplateError(self.file, what, line, column)

    def line(self, *path: str | int) -> tuple[int, int]:
        """Return the line and column of the key or item at `path`."""
        error = self.error("", *path)
        return error.line, error.column

    def decode(self, data: Any, struct: type[S], *path: str | int) -> S:
        """Convert a mapping to a struct. Raises `TemplateError` with the place of the wrong key."""
        name = ".".join(str(part) for part in path) or "the front matter"
        if not isinstance(data, dict):
            raise self.error(f"{name} must be `key: value` lines, or {{key: value}}", *path)
        fields = _fields(struct)
        for key in data:
            if key not in fields:
                raise self.error(f"unknown key {key!r} in {name}; {suggest(key, fields)}", *path, key)
        for info in fields.values():
            if info.required and info.encode_name not in data:
                raise self.error(f"{name} must say `{info.encode_name}:`", *path)
        values = {fields[key].name: self._convert(value, fields[key].type, (*path, key)) for key, value in data.items()}
        return struct(**values)

    def _convert(self, value: Any, kind: Any, path: Path) -> Any:
        if isinstance(kind, type) and issubclass(kind, Struct):
            return self.decode(value, kind, *path)
        try:
            return _bounded(msgspec.convert(value, kind, strict=False))
        except msgspec.ValidationError as error:
            what, _, inside = str(error).partition(" - at `$")
            raise self.error(f"{path[-1]}: {_plain(what, value)}", *path, *_steps(inside)) from error


def _bounded(value: Any) -> Any:
    """Return the value unchanged. Raises `msgspec.ValidationError` for a number beyond `LARGEST`.

    Python refuses to print much larger numbers.
    """
    if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        raise msgspec.ValidationError(f"a number is at most {LARGEST:,}")
    return value


@functools.cache
def _fields(struct: type[Struct]) -> Mapping[str, Any]:
    """Return the fields of a struct by the names of their keys in a file.

    The result is cached, since msgspec would read all annotations again at each call.
    """
    return {info.encode_name: info for info in msgspec.structs.fields(struct)}


def split_head(source: str, file: str) -> tuple[FrontMatterHead, str, int]:
    """Return the head, the body, and the line number at which the body begins. Raises `TemplateError`."""
    lines = source.split("\n")
    if lines[0].strip().lstrip("\ufeff") != FENCE:
        raise TemplateError(file, "a template starts with a line `---`, then its front matter", 1, 1)
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), 0)
    if not end:
        raise TemplateError(file, "the front matter is not closed: a second line `---` is missing", len(lines), 1)
    head = FrontMatterHead("\n".join(lines[1:end]) + "\n", file, first_line=2)
    return head, "\n".join(lines[end + 1 :]), end + 2


def suggest(word: str, known: Any) -> str:
    """Return a hint for an unknown name: the most similar known name, or else a list of all known names."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _steps(inside: str) -> Path:
    """Return a path in msgspec's notation, such as `.tests[2].query`, as a tuple of keys and indices."""
    return tuple(int(index) if index else name for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", inside))


def _plain(what: str, value: Any) -> str:
    """Return msgspec's message with the type names of YAML."""
    words = {
        "`str`": "a text",
        "`array`": "a list",
        "`object`": "a mapping",
        "`int`": "a whole number",
        "`bool`": "true or false",
    }
    for name, word in words.items():
        what = what.replace(name, word)
    what = what[0].lower() + what[1:]
    if isinstance(value, list) and "text, got a mapping" in what:
        return f"{what}; {QUOTE_IT}"
    return f"{what} ({value!r})" if isinstance(value, str) and value and repr(value) not in what else what
