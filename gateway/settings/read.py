"""Reads `config.toml` into settings, and reports every mistake at once."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.documented import listed_values
from gateway.errors import ConfigError, Problem
from gateway.settings.numbers import DIGEST_PATTERN
from gateway.settings.reload import POSTED
from gateway.settings.tables import KINDS, NAMED, NESTED, PLAIN, KindTable, Settings


def load(path: Path) -> Settings:
    """Read and check a configuration. Raises `ConfigError` with every mistake in it."""
    settings, problems = read_file(path)
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def load_posted(text: str, path: Path) -> Settings:
    """Do the same for a configuration that came over HTTP and stands in for the file at `path`."""
    settings, problems = read_posted(text, path)
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def read_file(path: Path) -> tuple[Settings | None, list[Problem]]:
    """Return the readable settings and all mistakes. The settings are None if the file is unreadable or not TOML."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        remedy = "Copy config.toml from the repository, or pass --config PATH."
        return None, [Problem(str(path), "there is no such file", remedy)]
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem(str(path), f"cannot be read: {error}")]
    return _read_text(text, path, path.name, str(path))


def read_posted(text: str, path: Path) -> tuple[Settings | None, list[Problem]]:
    """Do as `read_file` does, with a configuration that came over HTTP and stands in for the file at `path`."""
    return _read_text(text, path, POSTED, POSTED)


def _read_text(text: str, path: Path, file: str, where: str) -> tuple[Settings | None, list[Problem]]:
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a plain ValueError
        return None, [Problem(where, f"is not valid TOML: {error}")]
    return read(table, root=path.resolve().parent, file=file)


def read(table: Mapping[str, Any], *, root: Path, file: str = "config.toml") -> tuple[Settings, list[Problem]]:
    """Decode the tables of a configuration. Returns the settings and the mistakes."""
    problems: list[Problem] = []
    parts: dict[str, Any] = {}
    broken: set[str] = set()

    def keep(name: str, result: tuple[Any, list[Problem]]) -> Any:
        if result[1]:
            broken.add(name)
        problems.extend(result[1])
        return result[0]

    known = [*PLAIN, *NAMED, *KINDS, "backends"]
    for name, value in table.items():
        where = f"{file} [{name}]"
        if name not in known:
            problems.append(Problem(where, "unknown table", _suggest(name, known)))
        elif not isinstance(value, dict):
            problems.append(Problem(where, f"must be a table, not {type(value).__name__}"))
        elif name in PLAIN:
            # correct fields are kept, so that checks across tables can use them
            own, nested = _split(name, value)
            parts[name] = keep(name, _readable(own, PLAIN[name], where))
            if nested is not None and parts[name] is not None:
                field, struct = NESTED[name]
                read_in = {
                    key: keep(f"{name}.{field}.{key}", _readable(entry, struct, f"{file} [{name}.{field}.{key}]"))
                    for key, entry in nested.items()
                }
                whole = {key: entry for key, entry in read_in.items() if entry is not None}
                parts[name] = replace(parts[name], **{field: whole})
        elif name in NAMED:
            parts[name] = {
                key: keep(f"{name}.{key}", _readable(entry, NAMED[name], f"{file} [{name}.{key}]"))
                for key, entry in value.items()
            }
        elif name == "backends":
            parts[name] = {
                key: keep(f"backends.{key}", _kind_table(entry, f"{file} [backends.{key}]"))
                for key, entry in value.items()
            }
        else:
            parts[name] = keep(name, _kind_table(value, where))
    present: dict[str, Any] = {
        name: {key: entry for key, entry in part.items() if entry is not None} if isinstance(part, dict) else part
        for name, part in parts.items()
        if part is not None
    }
    return Settings(root=root, file=file, broken=frozenset(broken), **present), problems


def _split(name: str, table: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return a table without its named tables, and the named tables. The latter are None if the table has none."""
    field = NESTED[name][0] if name in NESTED else ""
    if not isinstance(table.get(field), Mapping):
        return table, None
    return {key: value for key, value in table.items() if key != field}, table[field]


def _readable(table: Any, struct: type[Struct], where: str) -> tuple[Any, list[Problem]]:
    """Return the readable part of a table, and the mistakes. The part is None if a required key is missing or
    unreadable."""
    if not isinstance(table, Mapping):
        return None, [Problem(where, f"must be a table, not {type(table).__name__}")]
    values, problems = _fields(table, struct, where)
    required = {info.name for info in msgspec.structs.fields(struct) if info.required}
    return (struct(**values) if required <= values.keys() else None), problems


NO_DIGEST = "is not a SHA-256, which has 64 hex digits"


def decode(table: Any, struct: type[Struct], where: str) -> tuple[Any, list[Problem]]:
    """Decode a table to a struct, and return the struct and an empty list. If the table has mistakes, return None and
    one problem for each wrong, unknown or missing key.

    A text `env:NAME` is replaced by the environment variable `NAME`.
    """
    if not isinstance(table, Mapping):
        return None, [Problem(where, f"must be a table, not {type(table).__name__}")]
    values, problems = _fields(table, struct, where)
    return (None if problems else struct(**values)), problems


def _fields(table: Mapping[str, Any], struct: type[Struct], where: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return the readable values by field name. Also return one problem for each unreadable, unknown or missing key."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    fields = {info.encode_name: info for info in msgspec.structs.fields(struct)}
    for key, value in table.items():
        info = fields.get(key)
        if info is None:
            problems.append(Problem(f"{where} {key}", "unknown key", _suggest(key, fields)))
            continue
        if inner := list(_inner_problems(value, info.type, f"{where} {key}")):
            problems += inner
            continue
        try:
            values[info.name] = msgspec.convert(_from_environment(value), info.type)
        except KeyError as error:
            what = f"environment variable {error.args[0]} is {'empty' if error.args[0] in os.environ else 'not set'}"
            problems.append(Problem(f"{where} {key}", what, "Export the variable, or write the value here."))
        except msgspec.ValidationError as error:
            listed = ", ".join(listed_values(info.type))
            what = NO_DIGEST if DIGEST_PATTERN in str(error) else str(error)
            problems.append(Problem(f"{where} {key}", what, f"One of: {listed}." if listed else ""))
    problems.extend(
        Problem(f"{where} {info.encode_name}", "is required")
        for info in fields.values()
        if info.required and info.encode_name not in table
    )
    return values, problems


def _inner_problems(value: Any, of: Any, where: str) -> Iterator[Problem]:
    """Yield the mistakes in the tables inside a value, which msgspec would report one at a time and without remedy.

    `of` is the type of the value: a struct, or a list, tuple, dict or union with structs in it.
    """
    if isinstance(of, type) and issubclass(of, Struct):
        if isinstance(value, Mapping):
            yield from _fields(value, of, where)[1]
        return
    kind, inner = get_origin(of), get_args(of)
    if kind is dict and isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _inner_problems(entry, inner[1], f"{where} {name!r}")
    elif kind in (list, tuple) and isinstance(value, list):
        for place, entry in enumerate(value, 1):
            yield from _inner_problems(entry, inner[0], f"{where}, number {place}")
    elif kind in (Union, UnionType):
        for member in inner:
            yield from _inner_problems(value, member, where)


def _kind_table(value: Any, where: str) -> tuple[KindTable | None, list[Problem]]:
    if not isinstance(value, dict):
        return None, [Problem(where, f"must be a table, not {type(value).__name__}")]
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        return None, [Problem(f"{where} kind", "is required", 'For example kind = "openai".')]
    return KindTable(where, kind, {key: entry for key, entry in value.items() if key != "kind"}), []


def _from_environment(value: Any) -> Any:
    """Replace a text `env:NAME` by the environment variable `NAME`. Other values stay unchanged.

    Raises `KeyError` with the variable's name if the variable is unset or blank.
    """
    if isinstance(value, str) and value.startswith("env:"):
        name = value.removeprefix("env:")
        if not os.environ[name].strip():
            raise KeyError(name)
        return os.environ[name]
    if isinstance(value, dict):
        return {key: _from_environment(each) for key, each in value.items()}
    return value


def _suggest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
