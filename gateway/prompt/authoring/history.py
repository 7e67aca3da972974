"""Lists all versions of a template. For each version, the list gives the file, the share of requests and the parent."""

import builtins
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from gateway.errors import TemplateError
from gateway.prompt.library.library import Library
from gateway.prompt.library.versions import SHORT, ArchivedVersion
from gateway.prompt.templates.fields import Provenance, Status
from gateway.prompt.templates.template import Template


class HistoryVersion(Struct, frozen=True):
    """One content of a version. `count` is over 1 if the content replaced another without a new version number."""

    id: str
    version: int
    status: Status
    content: str
    file: str
    archived: bool = field(name="kept")
    """Whether the version is only in the archive, and in no template folder."""
    speaks: bool
    canary: float
    """The share of requests that get this version as a canary."""
    provenance: Provenance
    count: int = 1
    seen: str = ""
    """The time in UTC when the version was first loaded."""

    @property
    def ref(self) -> str:
        return f"{self.id}@{self.version}"

    @property
    def parent(self) -> str:
        """`id@version` of the parent. If the file names no parent, the previous version is the parent. Version 1 then
        has the parent "".
        """
        return self.provenance.parent or (f"{self.id}@{self.version - 1}" if self.version > 1 else "")


def history(library: Library, id: str) -> tuple[HistoryVersion, ...]:
    """Return all versions of a template, oldest first. Broken files of the archive are skipped. This call blocks on the
    disk.
    """
    archive = library.archive
    entries = archive.versions(id) if archive else ()
    archived = {(entry.version, entry.content): entry for entry in entries}
    versions = {(version.version, version.content): version for version in present(library, [id]).get(id, ())}
    marks = _VersionMarks(library)
    for key, entry in archived.items():
        if key not in versions and archive is not None:
            try:
                versions[key] = marks.version(archive.read(entry), entry)
            except TemplateError:
                continue
    return tuple(sorted(versions.values(), key=lambda version: (version.version, version.count)))


def present(library: Library, ids: Collection[str] | None = None) -> dict[str, tuple[HistoryVersion, ...]]:
    """Return the versions in the library, by template id. These are the versions in files, and older versions that are
    still in use.
    """
    marks, archive = _VersionMarks(library), library.archive
    by_id: dict[str, list[HistoryVersion]] = {}
    for template in library.templates:
        if ids is None or template.id in ids:
            archived = archive.versions(template.id) if archive else ()
            same = [
                entry
                for entry in archived
                if (entry.version, entry.content) == (template.version, template.content[:SHORT])
            ]
            by_id.setdefault(template.id, []).append(marks.version(template, same[0] if same else None))
    return {id: tuple(sorted(versions, key=lambda version: version.version)) for id, versions in by_id.items()}


class _VersionMarks:
    """Marks the templates that are in use, as a stable version or as a canary."""

    def __init__(self, library: Library) -> None:
        self._speak = {builtins.id(template) for templates in library.by_intent.values() for template in templates}
        self._tried = {builtins.id(template): share for pairs in library.canaries.values() for template, share in pairs}

    def version(self, template: Template, archived: ArchivedVersion | None) -> HistoryVersion:
        return HistoryVersion(
            id=template.id,
            version=template.version,
            status=template.status,
            content=template.content[:SHORT],
            file=template.file,
            archived=archived is not None and template.file == str(archived.file),
            speaks=builtins.id(template) in self._speak,
            canary=self._tried.get(builtins.id(template), 0.0),
            provenance=template.provenance,
            count=archived.count if archived else 1,
            seen=_written(archived.file) if archived else "",
        )


def lineage(versions: Sequence[HistoryVersion]) -> tuple[tuple[int, HistoryVersion], ...]:
    """Return the versions as a tree: (depth, version), each version after its parent."""
    refs = {version.ref for version in versions}
    below: Mapping[str, list[HistoryVersion]] = {ref: [] for ref in ("", *refs)}
    for version in versions:
        below[version.parent if version.parent in refs and version.parent != version.ref else ""].append(version)
    drawn: list[tuple[int, HistoryVersion]] = []
    _draw("", 0, below, drawn, set())
    # versions that name each other as parents belong to no tree
    drawn += [(0, version) for version in versions if all(version is not other for _, other in drawn)]
    return tuple(drawn)


def _draw(
    ref: str,
    depth: int,
    below: Mapping[str, list[HistoryVersion]],
    drawn: list[tuple[int, HistoryVersion]],
    done: set[str],
) -> None:
    for version in below[ref]:
        drawn.append((depth, version))
        if version.ref not in done:
            done.add(version.ref)
            _draw(version.ref, depth + 1, below, drawn, done)


def _written(file: Path) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(file.stat().st_mtime))
    except OSError:
        return ""
