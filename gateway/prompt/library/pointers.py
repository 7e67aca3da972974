"""Reads and writes `pointers.yaml`, which names the versions in use.

Each template folder has one such file at its root, with one line for each template that has pointers:

    summarise.en: {production: 3, canary: 4, share: 0.05, previous: 2}

A template without a line uses its newest active version.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.disk.atomic_file import locked, write_whole
from gateway.errors import TemplateError
from gateway.prompt.templates.fields import ID
from gateway.prompt.templates.frontmatter import FrontMatterHead

FILE = "pointers.yaml"
DEFAULT_SHARE = 0.05
"""The canary's share of the requests, if the line sets no share."""

HEADER = "# The version of each template that is in use. Written by `foreword templates promote` and `rollback`.\n"


class Pointer(Struct, frozen=True, omit_defaults=True):
    """The pointers of one template. A pointer with version 0 is not set."""

    production: int = 0
    """The version for all requests; 0 means the newest active version."""
    canary: int = 0
    """The version that gets `share` of the requests."""
    share: float = DEFAULT_SHARE
    previous: int = 0
    """The version that was in `production` before. A rollback makes it the production version again."""


class TemplatePointers(Struct, frozen=True):
    """The pointers of one template, and the position of their line in the file."""

    pointer: Pointer
    file: str
    line: int


def read_pointers(folder: Path) -> Mapping[str, TemplatePointers]:
    """Read the pointers of a template folder, by template id. The result is empty if there is no file. Raises
    `TemplateError`.
    """
    file = folder / FILE
    try:
        source = file.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(str(file), f"cannot be read: {error}") from error
    if not any(_has_content(line) for line in source.splitlines()):
        return {}
    head = FrontMatterHead(source, str(file), first_line=1)
    return {
        id: TemplatePointers(_pointer(head, id, value), str(file), head.line(id)[0]) for id, value in head.data.items()
    }


def _pointer(head: FrontMatterHead, id: str, value: object) -> Pointer:
    if not ID.fullmatch(id):
        raise head.error(f"{id!r} cannot be a template's id", id)
    pointer = head.decode(value, Pointer, id)
    for key in ("production", "canary", "previous"):
        if getattr(pointer, key) < 0:
            raise head.error("versions count from 1", id, key)
    if not 0.0 <= pointer.share <= 1.0:
        raise head.error("`share` is between 0 and 1, such as 0.05", id, "share")
    if pointer.canary and pointer.canary == pointer.production:
        raise head.error(f"version {pointer.canary} is production and canary at once", id, "canary")
    return pointer


def move(folder: Path, id: str, pointer: Pointer) -> None:
    """Set one template's pointers. The lines of other templates do not change."""
    change_pointer(folder, id, lambda _: pointer)


def change_pointer(folder: Path, id: str, change: Callable[[Pointer], Pointer], *, leave_line: bool = False) -> Pointer:
    """Replace one template's pointers by `change(pointers)` while the file is locked, and return the new pointers.

    If `change` raises, the file does not change. With `leave_line`, the template keeps a line even if all its pointers
    are 0. While a template has a line, the status in its file cannot start a canary. Raises `TemplateError` if the file
    is broken.
    """
    file = folder / FILE
    with locked(file):
        known = read_pointers(folder).get(id)  # raises if the file is broken: a broken file must not be overwritten
        before = known.pointer if known else Pointer()
        after = change(before)
        if after != before or (known is None and leave_line):
            _write(file, id, after, leave_line=leave_line or bool(before.canary))
    return after


def _write(file: Path, id: str, after: Pointer, *, leave_line: bool) -> None:
    lines = file.read_text("utf-8").splitlines(keepends=True) if file.exists() else [HEADER]
    first = next((index for index, line in enumerate(lines) if line.startswith((f"{id}:", f'"{id}":'))), len(lines))
    end = first + 1
    # a value in block style continues on indented lines
    while end < len(lines) and lines[end].startswith((" ", "\t")):
        end += 1
    if first == len(lines) and lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    # a line without a canary means that there is no canary, whatever the files' status
    written = [f"{id}: {_flow(after) or '{canary: 0}'}\n"] if after != Pointer() or leave_line else []
    write_whole(file, "".join([*lines[:first], *written, *lines[end:]]))


def _flow(pointer: Pointer) -> str:
    fields = msgspec.structs.asdict(pointer)
    if not pointer.canary:
        del fields["share"]
    pairs = [f"{name}: {value}" for name, value in fields.items() if value]
    return "{" + ", ".join(pairs) + "}" if pairs else ""


def _has_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
