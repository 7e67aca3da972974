"""The life of a version: draft, candidate, canary, active, retired. Each step has to be earned.

A move edits one word of the author's file and one line of `pointers.yaml`; nothing else in them changes.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.atomic_file import write_whole
from gateway.errors import ForewordError, TemplateError
from gateway.prompt.authoring.cases import run_cases
from gateway.prompt.authoring.findings import Severity
from gateway.prompt.authoring.lint import lint
from gateway.prompt.library.folders import read_source
from gateway.prompt.library.library import Library
from gateway.prompt.library.pointers import DEFAULT_SHARE, Pointer, move
from gateway.prompt.templates.fields import Status
from gateway.prompt.templates.template import Template, parse

NEXT = {Status.DRAFT: Status.CANDIDATE, Status.CANDIDATE: Status.CANARY, Status.CANARY: Status.ACTIVE}
STATUS = re.compile(r"^(status[ \t]*:[ \t]*)([\"']?)[\w-]+\2(?=[ \t]*(?:#.*)?\r?$)")


class MoveRefused(ForewordError):
    """The move is not made; each reason says what to do."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


class MoveResult(Struct, frozen=True):
    """What was done: the version's old and new status, and what speaks now."""

    ref: str
    before: Status
    after: Status
    pointer: Pointer


def promote(
    library: Library, folders: Sequence[Path], template: Template, to: Status | None = None, share: float = 0.0
) -> MoveResult:
    """One step on. Raises `MoveRefused` where lint or a test of the template fails, or the step is not the next."""
    step = NEXT.get(template.status)
    if step is None:
        raise MoveRefused(f"{template.ref} is {template.status}: there is no next step")
    if to not in (None, step):
        raise MoveRefused(f"{template.ref} is {template.status}: the next step is {step}, not {to}")
    hoped = replace(template, status=step)  # what lint asks of a canary is more than of a draft
    as_if = replace(library, templates=tuple(hoped if one.ref == template.ref else one for one in library.templates))
    reasons = [str(one) for one in lint(as_if) if one.file == template.file and one.level is Severity.ERROR]
    reasons += [str(failure) for failure in run_cases(template)]
    if step is Status.CANDIDATE and not template.tests:
        reasons.append(f"{template.file}: a candidate has `tests:`, at least one")
    if reasons:
        raise MoveRefused(*reasons)
    pointer = library.pointers.get(template.id, Pointer())
    if step is Status.CANARY:
        pointer = replace(pointer, canary=template.version, share=share or DEFAULT_SHARE)
    elif step is Status.ACTIVE:
        pointer = _production(library, template, pointer)
    return _make(library, folders, template, step, pointer)


def retire(library: Library, folders: Sequence[Path], template: Template) -> MoveResult:
    """It speaks no more. Its pointers go with it."""
    if template.status is Status.RETIRED:
        raise MoveRefused(f"{template.ref} is retired already")
    pointer = library.pointers.get(template.id, Pointer())
    if pointer.production == template.version:
        pointer = replace(pointer, production=0)
    if pointer.canary == template.version:
        pointer = replace(pointer, canary=0, share=DEFAULT_SHARE)
    if pointer.previous == template.version:
        pointer = replace(pointer, previous=0)
    return _make(library, folders, template, Status.RETIRED, pointer)


def rollback(library: Library, folders: Sequence[Path], id: str) -> Pointer:
    """The canary goes; without one, the version before speaks again. No file but the pointers is touched."""
    pointer = library.pointers.get(id, Pointer())
    if pointer.canary:
        back = replace(pointer, canary=0, share=DEFAULT_SHARE)
    elif not pointer.previous:
        raise MoveRefused(f"{id} has no `previous` in pointers.yaml: nothing was promoted that could be taken back")
    elif library.get(id, pointer.previous) is None:
        raise MoveRefused(f"{id}@{pointer.previous} is neither in the folders nor in the archive")
    else:
        back = Pointer(production=pointer.previous, previous=pointer.production)
    file = next((one.file for one in library.templates if one.id == id and _root(folders, one.file)), "")
    root = _root(folders, file) if file else folders[0]
    assert root is not None
    move(root, id, back)
    return back


def with_status(source: str, template: Template, status: Status) -> str:
    """The source with another status: one word of it, or one line more. Raises `MoveRefused`."""
    lines = source.split("\n")
    place = template.places.get("status")
    if place is not None:
        row = lines[place[0] - 1]
        lines[place[0] - 1] = STATUS.sub(lambda found: f"{found[1]}{status}", row, count=1)
    else:
        end = "\r" if lines[0].endswith("\r") else ""
        lines.insert(template.places["version"][0], f"status: {status}{end}")
    changed = "\n".join(lines)
    try:
        made = parse(changed, template.file)
    except TemplateError as error:
        raise MoveRefused(f"the status cannot be edited: {error}") from error
    if (made.status, made.content) != (status, template.content):
        line = place[0] if place else template.places["version"][0]
        raise MoveRefused(f"{template.file}:{line}: write `status: {status}` on a line of its own, then try again")
    return changed


def _production(library: Library, template: Template, pointer: Pointer) -> Pointer:
    """It speaks for all. What spoke before is remembered; the first of its id needs no pointer."""
    spoke = library.speaking.get(template.id)
    before = spoke.version if spoke is not None and spoke.version != template.version else pointer.previous
    if not before and not pointer.production:
        return Pointer()
    return Pointer(production=template.version, previous=before)


def _make(
    library: Library, folders: Sequence[Path], template: Template, status: Status, pointer: Pointer
) -> MoveResult:
    root = _root(folders, template.file)
    if root is None:
        raise MoveRefused(f"{template.ref} is only in the archive: copy {template.file} into a template folder first")
    before = library.pointers.get(template.id, Pointer())
    write_whole(Path(template.file), with_status(_raw(template.file), template, status))
    if pointer != before:
        move(root, template.id, pointer)
    return MoveResult(template.ref, template.status, status, pointer)


def _raw(file: str) -> str:
    """As it is on disk, with its own line ends."""
    read_source(Path(file))
    return Path(file).read_bytes().decode("utf-8")


def _root(folders: Sequence[Path], file: str) -> Path | None:
    inside = [folder for folder in folders if Path(file).resolve().is_relative_to(folder.resolve())]
    return max(inside, key=lambda folder: len(folder.resolve().parts), default=None)
