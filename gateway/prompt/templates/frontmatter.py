"""Reads the YAML head of a template file as plain data, with the place of each key.

Every scalar stays a text until a struct converts it. So `- yes`, `- 12` and `version: 3` keep the characters that the
author wrote.
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
"""The largest number in a head."""


class FrontMatterHead:
    """The data of one file's head, with the place of each key."""

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
        """Return a `TemplateError` at the deepest key of `path` that the file has."""
        while path and path not in self._places:
            path = path[:-1]
        line, column = self._places.get(path, (self._first_line, 1))
        return TemplateError(self.file, what, line, column)

    def line(self, *path: str | int) -> tuple[int, int]:
        """Return the line and the column of a key or an item."""
        error = self.error("", *path)
        return error.line, error.column

    def decode(self, data: Any, struct: type[S], *path: str | int) -> S:
        """Convert a mapping to a struct. Raises `TemplateError` at the wrong key."""
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
    """Return the value. Raises `msgspec.ValidationError` for a number over `LARGEST`, since Python refuses to print
    huge numbers.
    """
    if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        raise msgspec.ValidationError(f"a number is at most {LARGEST:,}")
    return value


@functools.cache
def _fields(struct: type[Struct]) -> Mapping[str, Any]:
    """Return a struct's fields by their names in a file. Cached, since msgspec reads all annotations at each call."""
    return {info.encode_name: info for info in msgspec.structs.fields(struct)}


def split_head(source: str, file: str) -> tuple[FrontMatterHead, str, int]:
    """Return the head, the body, and the number of the body's first line. Raises `TemplateError`."""
    lines = source.split("\n")
    if lines[0].strip().lstrip("\ufeff") != FENCE:
        raise TemplateError(file, "a template starts with a line `---`, then its front matter", 1, 1)
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), 0)
    if not end:
        raise TemplateError(file, "the front matter is not closed: a second line `---` is missing", len(lines), 1)
    head = FrontMatterHead("\n".join(lines[1:end]) + "\n", file, first_line=2)
    return head, "\n".join(lines[end + 1 :]), end + 2


def suggest(word: str, known: Any) -> str:
    """Return a question with the nearest known name, or else a list of the known names."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _steps(inside: str) -> Path:
    """Return the path in msgspec's message as keys and indices: `.tests[2].query`."""
    return tuple(int(index) if index else name for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", inside))


def _plain(what: str, value: Any) -> str:
    """Return msgspec's message in the words of YAML."""
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
