"""Reads the YAML head of a template file into plain data that knows where each piece stands.

Every scalar is text until the struct it lands in says otherwise, so `- yes`, `- 12` and `version: 3`
all mean what the author wrote. Anchors, aliases, tags and repeated keys are refused.
"""

import difflib
import re
from typing import Any, TypeVar

import msgspec
import yaml
from msgspec import Struct

from gateway.errors import TemplateError

S = TypeVar("S", bound=Struct)
Data = dict[str, Any]
Path = tuple[str | int, ...]

FENCE = "---"
QUOTE_IT = "a text that starts with a mark or has `: `, `?` or ` #` in it goes in quotes"


class _Loader(yaml.SafeLoader):
    """The safe loader without guesses: no scalar becomes a number, a date or a truth value."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name and shape


class Head:
    """The decoded head of one file, with the place of each key."""

    def __init__(self, source: str, file: str, first_line: int) -> None:
        self.file = file
        self._first_line = first_line
        self._places: dict[Path, tuple[int, int]] = {}
        try:
            node = yaml.compose(source, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            raise self._broken_yaml(error) from error
        except yaml.YAMLError as error:
            raise TemplateError(file, f"the front matter is not valid YAML: {error}", first_line, 1) from error
        if node is None:
            raise TemplateError(file, "the front matter is empty; it needs schema, id, version", first_line, 1)
        self._seen: set[int] = set()
        data = self._read(node, ())
        if not isinstance(data, dict):
            raise TemplateError(file, "the front matter must be `key: value` lines", first_line, 1)
        self.data: Data = data

    def error(self, what: str, *path: str | int) -> TemplateError:
        """A `TemplateError` at the deepest part of `path` that the file holds."""
        while path and path not in self._places:
            path = path[:-1]
        line, column = self._places.get(path, (self._first_line, 1))
        return TemplateError(self.file, what, line, column)

    def line(self, *path: str | int) -> tuple[int, int]:
        """Line and column of a key or item."""
        error = self.error("", *path)
        return error.line, error.column

    def decode(self, data: Any, struct: type[S], *path: str | int) -> S:
        """One mapping as a struct. Raises `TemplateError` at the wrong key."""
        name = ".".join(str(part) for part in path) or "the front matter"
        if not isinstance(data, dict):
            raise self.error(f"{name} must be `key: value` lines, or {{key: value}}", *path)
        fields = {info.encode_name: info for info in msgspec.structs.fields(struct)}
        for key in data:
            if key not in fields:
                raise self.error(f"unknown key {key!r} in {name}; {suggest(key, fields)}", *path, key)
        for info in fields.values():
            if info.required and info.encode_name not in data:
                raise self.error(f"{name} must say `{info.encode_name}:`", *path)
        values = {fields[key].name: self._convert(value, fields[key].type, (*path, key)) for key, value in data.items()}
        return struct(**values)

    def _convert(self, value: Any, wanted: Any, path: Path) -> Any:
        if isinstance(wanted, type) and issubclass(wanted, Struct):
            return self.decode(value, wanted, *path)
        try:
            return msgspec.convert(value, wanted, strict=False)
        except msgspec.ValidationError as error:
            what, _, inside = str(error).partition(" - at `$")
            raise self.error(f"{path[-1]}: {_plain(what, value)}", *path, *_steps(inside)) from error

    def _read(self, node: yaml.Node, path: Path) -> Any:
        mark = node.start_mark
        self._places.setdefault(path, (mark.line + self._first_line, mark.column + 1))
        if id(node) in self._seen:
            raise self.error("YAML anchors and aliases are not used here; write it out", *path)
        self._seen.add(id(node))
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in ("str", "map", "seq"):
            raise self.error(f"YAML tags such as {node.tag!r} are not used here", *path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._read(item, (*path, index)) for index, item in enumerate(node.value)]
        return node.value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Data:
        data: Data = {}
        for key_node, value_node in node.value:
            key = key_node.value
            mark = key_node.start_mark
            place = (mark.line + self._first_line, mark.column + 1)
            if not isinstance(key, str):
                raise TemplateError(self.file, "a key must be plain text", *place)
            if key in data:
                raise TemplateError(self.file, f"{key!r} is there twice", *place)
            self._places[(*path, key)] = place
            data[key] = self._read(value_node, (*path, key))
        return data

    def _broken_yaml(self, error: yaml.MarkedYAMLError) -> TemplateError:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        what = f"the front matter is not valid YAML: {error.problem or error.context}; {QUOTE_IT}"
        return TemplateError(self.file, what, line + self._first_line, column + 1)


def split_head(source: str, file: str) -> tuple[Head, str, int]:
    """The head, the body, and the body's first line number."""
    lines = source.split("\n")
    if lines[0].strip().lstrip("\ufeff") != FENCE:
        raise TemplateError(file, "a template starts with a line `---`, then its front matter", 1, 1)
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), 0)
    if not end:
        raise TemplateError(file, "the front matter is not closed: a second line `---` is missing", len(lines), 1)
    head = Head("\n".join(lines[1:end]) + "\n", file, first_line=2)
    return head, "\n".join(lines[end + 1 :]), end + 2


def suggest(word: str, known: Any) -> str:
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, 1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


def _steps(inside: str) -> Path:
    """The path that msgspec names, `.tests[2].query`, as keys and indices."""
    return tuple(int(index) if index else name for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", inside))


def _plain(what: str, value: Any) -> str:
    """msgspec's message in the words of someone who writes YAML."""
    words = {"`str`": "a text", "`array`": "a list", "`object`": "a mapping", "`int`": "a whole number"}
    for name, word in words.items():
        what = what.replace(name, word)
    what = what[0].lower() + what[1:]
    if isinstance(value, list) and "text, got a mapping" in what:
        return f"{what}; {QUOTE_IT}"
    return f"{what} ({value!r})" if isinstance(value, str) and value and repr(value) not in what else what
