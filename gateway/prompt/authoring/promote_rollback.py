"""Promotes, retires and rolls back versions. The statuses are draft, candidate, canary, active and retired.

Each step requires that lint and tests report no errors. A step edits the status in the author's file and one line of
`pointers.yaml`, which stays locked during the step.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.disk.atomic_file import write_whole
from gateway.errors import ForewordError, TemplateError
from gateway.prompt.authoring.cases import run_cases
from gateway.prompt.authoring.lint import lint
from gateway.prompt.library.folders import read_source
from gateway.prompt.library.library import Library
from gateway.prompt.library.pointers import DEFAULT_SHARE, Pointer, change_pointer
from gateway.prompt.templates.fields import Status
from gateway.prompt.templates.findings import Severity
from gateway.prompt.templates.parse import digest_of, parse
from gateway.prompt.templates.template import Template

NEXT = {Status.DRAFT: Status.CANDIDATE, Status.CANDIDATE: Status.CANARY, Status.CANARY: Status.ACTIVE}
Examine = Callable[[Library, Template], Sequence[str]]
"""A function that examines a step. It gets the library as the step would leave it, and the template. It returns the
reasons against the step.
"""
STATUS = re.compile(r"^(status[ \t]*:[ \t]*)([\"']?)[\w-]+\2(?=[ \t]*(?:#.*)?\r?$)")


class MoveRefused(ForewordError):
    """A version keeps its status, for the reasons in `reasons`."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


class MoveResult(Struct, frozen=True):
    """The old and the new status of a version, and the new pointers of its template."""

    ref: str
    before: Status
    after: Status
    pointer: Pointer


def promote(
    library: Library,
    folders: Sequence[Path],
    template: Template,
    to: Status | None = None,
    share: float = 0.0,
    examine: Examine | None = None,
) -> MoveResult:
    """Move a version to its next status. Raises `MoveRefused` if lint, a test or `examine` fails, or if `to` is not the
    next status.
    """
    step = NEXT.get(template.status)
    if step is None:
        raise MoveRefused(f"{template.ref} is {template.status}: there is no next step")
    if to not in (None, step):
        raise MoveRefused(f"{template.ref} is {template.status}: the next step is {step}, not {to}")
    reasons = _mistakes(library, template, step)
    if not reasons and examine is not None and step in (Status.CANARY, Status.ACTIVE):
        reasons = list(examine(_as_if(library, template, Status.ACTIVE), template))
    if reasons:
        raise MoveRefused(*reasons)
    pointer = library.pointers.get(template.id, Pointer())
    if step is Status.CANARY:
        pointer = replace(pointer, canary=template.version, share=share or DEFAULT_SHARE)
    elif step is Status.ACTIVE:
        pointer = _production(library, template, pointer)
    return _make(library, folders, template, step, pointer)


def retire(library: Library, folders: Sequence[Path], template: Template) -> MoveResult:
    """Retire a version for good, and remove it from the pointers."""
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
    """End the canary. Without a canary, go back to the previous version.

    Raises `MoveRefused` if there is no previous version.
    """
    return _take_back(library, folders, id, lambda pointer: _back(library, id, pointer))


def end_canary(library: Library, folders: Sequence[Path], id: str) -> Pointer:
    """End the canary of a template. The version becomes a candidate again."""
    return _take_back(library, folders, id, _without_canary)


def _take_back(library: Library, folders: Sequence[Path], id: str, change: Callable[[Pointer], Pointer]) -> Pointer:
    file = next((template.file for template in library.templates if template.id == id), "")
    back = change_pointer(_root(folders, file) or folders[0], id, change, leave_line=True)
    for template in library.templates:
        # the pointer decides which version is in use, so a status that cannot be edited does no harm
        if template.id == id and template.status is Status.CANARY and template.version != back.production:
            with suppress(MoveRefused):
                _set_status(folders, template, Status.CANDIDATE)
    return back


def _without_canary(pointer: Pointer) -> Pointer:
    return replace(pointer, canary=0, share=DEFAULT_SHARE)


def _back(library: Library, id: str, pointer: Pointer) -> Pointer:
    if pointer.canary or any(canary.id == id for pairs in library.canaries.values() for canary, _ in pairs):
        return _without_canary(pointer)
    if not pointer.previous:
        speaking = library.speaking.get(id)
        remedy = f"; to stop it: foreword templates retire {speaking.ref}" if speaking else ""
        raise MoveRefused(
            f"{id} has no promotion to take back: pointers.yaml names neither a canary nor a previous version{remedy}"
        )
    if library.get(id, pointer.previous) is None:
        raise MoveRefused(f"{id}@{pointer.previous} is neither in the folders nor in the archive")
    return Pointer(production=pointer.previous, previous=pointer.production)


def _mistakes(library: Library, template: Template, step: Status) -> list[str]:
    """Return the errors that lint and the template's tests report for the library after the step."""
    findings = lint(_as_if(library, template, step))
    reasons = [
        str(finding) for finding in findings if finding.file == template.file and finding.level is Severity.ERROR
    ]
    reasons += [str(failure) for failure in run_cases(template)]
    if step is Status.CANDIDATE and not template.tests:
        reasons.append(f"{template.file}: a candidate needs at least one test in `tests:`")
    return reasons


def _as_if(library: Library, template: Template, status: Status) -> Library:
    """Return the library with another status for one template. Lint is stricter for a canary than for a draft."""
    moved = replace(template, status=status)
    return replace(
        library, templates=tuple(moved if other.ref == template.ref else other for other in library.templates)
    )


def with_status(source: str, template: Template, status: Status) -> str:
    """Return the source with another status. Only one word or one line changes. Raises `MoveRefused` if the status
    cannot be edited.
    """
    lines = source.split("\n")
    place = template.places.get("status")
    if place is not None:
        row = lines[place[0] - 1]
        lines[place[0] - 1] = STATUS.sub(lambda match: f"{match[1]}{status}", row, count=1)
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
    """Return pointers with this version in production and the current version as `previous`. The first version of an id
    needs no pointer.
    """
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
    expected = library.pointers.get(template.id, Pointer())

    def change(current: Pointer) -> Pointer:
        if current != expected:
            raise MoveRefused(f"the pointers of {template.id} have changed in the meantime; look at them and try again")
        _set_status(folders, template, status)
        return pointer

    change_pointer(root, template.id, change)
    return MoveResult(template.ref, template.status, status, pointer)


def _set_status(folders: Sequence[Path], template: Template, status: Status) -> None:
    """Write the status into the template's file. A file outside the template folders stays as it is.

    Raises `MoveRefused` if the file has changed since it was read.
    """
    if _root(folders, template.file) is None:
        return
    source = _raw(template.file)
    if digest_of(source) != template.digest:
        raise MoveRefused(f"{template.file} has changed since it was read; look at it and try again")
    write_whole(Path(template.file), with_status(source, template, status))


def _raw(file: str) -> str:
    """Return the text of the file with its line ends unchanged. Raises `TemplateError` if the file cannot be read."""
    read_source(Path(file))
    return Path(file).read_bytes().decode("utf-8")


def _root(folders: Sequence[Path], file: str) -> Path | None:
    inside = [folder for folder in folders if Path(file).resolve().is_relative_to(folder.resolve())]
    return max(inside, key=lambda folder: len(folder.resolve().parts), default=None)
