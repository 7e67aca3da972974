"""All templates in the configured folders, as one frozen value. A reload replaces the whole value.

A template's pointer names the version in use. Without a pointer, the newest active version is used. If no file is
active and the newest file is a draft, a candidate or a canary, or has mistakes, the last active version in the archive
is used.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import TemplateError
from gateway.prompt.library.clashes import clashes
from gateway.prompt.library.folders import FolderContents, TemplateReader
from gateway.prompt.library.pointers import DEFAULT_SHARE, Pointer, TemplatePointers
from gateway.prompt.library.versions import VersionArchive
from gateway.prompt.templates.fields import Status
from gateway.prompt.templates.findings import Finding
from gateway.prompt.templates.template import Template

T = TypeVar("T")
log = logging.getLogger("foreword.templates")

SPEAKING = (Status.CANDIDATE, Status.CANARY, Status.ACTIVE)
"""The statuses that a version needs before a pointer may name it."""


class OfferedVersions(Struct, frozen=True):
    """The versions to choose from for an intent.

    `canary` gets `share` of the requests, and `stable` gets all others.
    """

    stable: Template | None = None
    canary: Template | None = None
    share: float = 0.0


class Library(Struct, frozen=True):
    """The templates, by id and by intent."""

    templates: tuple[Template, ...] = ()
    """All templates in files, and those templates from the archive that are in use."""
    by_ref: Mapping[tuple[str, int], Template] = {}
    by_intent: Mapping[tuple[str, str], tuple[Template, ...]] = {}
    """The templates in use, by (intent, language). The preferred template comes first."""
    canaries: Mapping[tuple[str, str], tuple[tuple[Template, float], ...]] = {}
    """The canaries and their shares, by (intent, language)."""
    speaking: Mapping[str, Template] = {}
    """The version in use, by template id."""
    pointers: Mapping[str, Pointer] = {}
    changed: tuple[TemplateError, ...] = ()
    """An error for each version whose content has changed since the version was first used."""
    faulty: tuple[TemplateError, ...] = ()
    """The mistakes that keep an active or canary file from being used, as `foreword templates lint` shows them."""
    archive: VersionArchive | None = None

    @property
    def intents(self) -> tuple[str, ...]:
        """The names of all intents that have a template in use, sorted."""
        return tuple(sorted({intent for intent, _ in self.by_intent}))

    def get(self, id: str, version: int | None = None) -> Template | None:
        """Return the template with this id and version, or None. Without a version, return the highest version in the
        files.

        A version that is not in the files is read from the archive. Raises `TemplateError` if the archived file cannot
        be read.
        """
        if version is not None:
            listed = self.by_ref.get((id, version))
            return self.archive.get(id, version) if listed is None and self.archive else listed
        versions = [template for template in self.templates if template.id == id]
        return max(versions, key=lambda template: template.version, default=None)

    def candidates(self, intent: str, language: str, model: str = "", window_tokens: int = 0) -> OfferedVersions:
        """Return the versions for an intent that fit the model and have exactly this language.

        A query in Chinese never gets an English template, since the answer would be in English. If `window_tokens` is
        0, the window is unknown and every template fits. If there are several canaries, a canary of the stable template
        is preferred.
        """
        return self.alternatives(intent, language, model, window_tokens)[-1]

    def alternatives(
        self, intent: str, language: str, model: str = "", window_tokens: int = 0
    ) -> tuple[OfferedVersions, ...]:
        """Return one entry for each template that answers only one question, and a last entry for all other templates.

        The versions in each entry are chosen as in `candidates`.
        """
        key = (intent, language)
        stable = [template for template in self.by_intent.get(key, ()) if _fits(template, model, window_tokens)]
        tried = [pair for pair in self.canaries.get(key, ()) if _fits(pair[0], model, window_tokens)]
        special = dict.fromkeys(
            template.id for template in (*stable, *(canary for canary, _ in tried)) if template.one_question
        )
        of_one = [_offered(stable, tried, {id}.__contains__) for id in special]
        return (*of_one, _offered(stable, tried, lambda id: id not in special))


def load_library(
    folders: Sequence[Path],
    archive: VersionArchive | None = None,
    reader: TemplateReader | None = None,
    *,
    keep: bool = True,
) -> tuple[Library, list[TemplateError]]:
    """Read every template file in the folders. Broken files are reported and left out.

    New templates are stored in the archive unless `keep` is False. If the caller passes the same `reader` again, only
    changed files are parsed.
    """
    seen = (reader or TemplateReader()).read(folders)
    library = build_library(seen.templates, seen.errors, seen.pointed, archive)
    if archive is not None and keep:
        _keep(library, seen, archive)
    return library, seen.errors


def build_library(
    templates: Sequence[Template],
    errors: list[TemplateError],
    pointed: Mapping[str, TemplatePointers] | None = None,
    archive: VersionArchive | None = None,
) -> Library:
    """Build a library from these templates.

    If two templates have the same id and version, the second one is reported and left out.
    """
    by_ref: dict[tuple[str, int], Template] = {}
    for template in templates:
        first = by_ref.setdefault((template.id, template.version), template)
        if first is not template:
            line, column = template.places.get("id", (1, 1))
            what = f"the id {template.id!r} with version {template.version} is taken by {first.file}"
            errors.append(TemplateError(template.file, what, line, column))
    files = _with_clashes(tuple(by_ref.values()))
    by_ref = {(template.id, template.version): template for template in files}
    choice = _VersionsInUse(files, pointed or {}, archive, errors)
    stable = [template for id in choice.ids for template in choice.stable(id)]
    tried = [pair for id in choice.ids for pair in choice.canary(id)]
    older = [template for template in [*stable, *(canary for canary, _ in tried)] if template.file in choice.archived]
    by_ref |= {(template.id, template.version): template for template in older}
    stable.sort(key=_preference)
    return Library(
        templates=(*files, *older),
        by_ref=by_ref,
        by_intent=_grouped([(template, template) for template in stable]),
        canaries=_grouped([(template, (template, share)) for template, share in tried]),
        speaking={template.id: template for template in reversed(stable)},
        pointers={id: located.pointer for id, located in choice.pointed.items()},
        changed=tuple(located for template in files if archive and (located := archive.changed(template))),
        faulty=tuple(error for template in files for error in _unused(template)),
        archive=archive,
    )


def _with_clashes(files: Sequence[Template]) -> tuple[Template, ...]:
    """Return the files with a fault added for each clash.

    Two active templates of different intents clash if they share a match example. The later template gets the fault.
    """
    faults: dict[str, tuple[Finding, ...]] = {}
    for finding in clashes([template for template in files if template.active]):
        faults[finding.file] = (*faults.get(finding.file, ()), finding)
    return tuple(
        replace(template, faults=(*template.faults, *faults[template.file])) if template.file in faults else template
        for template in files
    )


def _unused(template: Template) -> Iterator[TemplateError]:
    if template.status in (Status.ACTIVE, Status.CANARY):
        for fault in template.faults:
            what = f"{template.ref} is not used until this is corrected: {fault.what} [{fault.code}]"
            yield TemplateError(template.file, what, fault.line, fault.column)


class _VersionsInUse:
    """Chooses the versions in use from all versions of each template id."""

    def __init__(
        self,
        files: Sequence[Template],
        pointed: Mapping[str, TemplatePointers],
        archive: VersionArchive | None,
        errors: list[TemplateError],
    ) -> None:
        self.pointed = pointed
        self.archived: set[str] = set()
        """The paths of archived files whose templates are in use."""
        self._archive = archive
        self._errors = errors
        self._versions: dict[str, dict[int, Template]] = {}
        for template in files:
            self._versions.setdefault(template.id, {})[template.version] = template
        self.ids = tuple(dict.fromkeys([*self._versions, *pointed]))

    def stable(self, id: str) -> Iterator[Template]:
        """Yield the versions in use for all requests.

        If a pointer names a version, only that version is in use. Otherwise, all active versions in the files are
        in use. If no file is active, the last active version in the archive may be used.
        """
        named = self._of_pointer(id, "production")
        if named is not None:
            yield named
            return
        versions = self._versions.get(id, {})
        active = [template for template in versions.values() if template.active]
        yield from active
        newest = versions.get(max(versions, default=0))
        if not active and newest is not None and newest.status is not Status.RETIRED and self._archive is not None:
            # faulty content is never archived, so the archive may hold this version as it was before the mistake
            below = newest.version + bool(newest.faults)
            older = self._try(lambda archive: archive.last_active(id, below))
            yield from () if older is None else (older,)

    def canary(self, id: str) -> Iterator[tuple[Template, float]]:
        named = self._of_pointer(id, "canary")
        if named is not None:
            yield named, self.pointed[id].pointer.share
        elif id not in self.pointed:
            versions = self._versions.get(id, {}).values()
            tried = [template for template in versions if template.status is Status.CANARY and not template.faults]
            yield from ((template, DEFAULT_SHARE) for template in sorted(tried, key=lambda t: -t.version)[:1])

    def _of_pointer(self, id: str, name: str) -> Template | None:
        pointed = self.pointed.get(id)
        version = getattr(pointed.pointer, name) if pointed else 0
        if pointed is None or not version:
            return None
        template = self._version(id, version)
        if template is not None and template.status in SPEAKING and not template.faults:
            return template
        why = "is neither in the folders nor in the archive"
        if template is not None:
            why = f"has mistakes ({template.faults[0]})" if template.faults else f"is {template.status}"
        what = f"`{name}` of {id} names version {version}, which {why}; the newest active version is used instead"
        self._errors.append(TemplateError(pointed.file, what, pointed.line, 1))
        return None

    def _version(self, id: str, version: int) -> Template | None:
        template = self._versions.get(id, {}).get(version)
        return template or self._try(lambda archive: archive.get(id, version))

    def _try(self, look: Callable[[VersionArchive], Template | None]) -> Template | None:
        """Read a template from the archive. If the template cannot be read, report the error and return None."""
        if self._archive is None:
            return None
        try:
            template = look(self._archive)
        except TemplateError as error:
            self._errors.append(error)
            return None
        if template is not None:
            self.archived.add(template.file)
        return template


def _keep(library: Library, seen: FolderContents, archive: VersionArchive) -> None:
    """Store new versions in the archive. If the archive cannot be written, the templates are used nevertheless."""
    for template in library.templates:
        source = seen.fresh.get(template.file)
        if source is None:
            continue
        try:
            archive.keep(template, source)
        except OSError as error:
            log.warning("the archive of template versions cannot be written", extra={"reason": str(error)})
            return


def _offered(
    stable: Sequence[Template], tried: Sequence[tuple[Template, float]], belongs: Callable[[str], bool]
) -> OfferedVersions:
    """Return the preferred stable version and canary, considering only template ids for which `belongs(id)` is true."""
    first = next((template for template in stable if belongs(template.id)), None)
    trials = [pair for pair in tried if belongs(pair[0].id)]
    if not trials:
        return OfferedVersions(first)
    canary, share = min(trials, key=lambda pair: first is None or pair[0].id != first.id)
    return OfferedVersions(first, canary, share)


def _grouped(pairs: Sequence[tuple[Template, T]]) -> dict[tuple[str, str], tuple[T, ...]]:
    groups: dict[tuple[str, str], list[T]] = {}
    for template, value in pairs:
        groups.setdefault((template.intent.name, template.language), []).append(value)
    return {key: tuple(values) for key, values in groups.items()}


def _preference(template: Template) -> tuple[bool, int, str]:
    """Return a sort key. Templates for named models come first, then higher versions, then lower ids."""
    return template.models.allow == ("*",), -template.version, template.id


def _fits(template: Template, model: str, window_tokens: int) -> bool:
    models = template.models
    if window_tokens and models.min_window > window_tokens:
        return False
    if model and models.deny and any(fnmatchcase(model, name) for name in models.deny):
        return False
    return not model or "*" in models.allow or any(fnmatchcase(model, name) for name in models.allow)
