"""The archive of templates in the data folder. It has a file for each version of each template that was ever loaded.

An example is `summarise.en@3.1-1f2e3d4c5b6a.prompt.md`. Here, 3 is the version, 1 stands for its first content, and the
rest is the beginning of the content's digest. Only drafts may change without a new version. If the content of version
3 changes nevertheless, the new content is reported and stored as `3.2-...`. Drafts are not stored.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.disk.atomic_file import write_whole
from gateway.errors import TemplateError
from gateway.prompt.templates.faults import errors_of
from gateway.prompt.templates.fields import ExamplePool, Status
from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template

NAME = re.compile(r"(?P<id>[a-z0-9._-]+)@(?P<version>\d+)\.(?P<count>\d+)-(?P<content>[0-9a-f]{12})\.prompt\.md")
ACTIVE = re.compile(r"^status[ \t]*:[ \t]*[\"']?active\b", re.MULTILINE)
HOMES = "homes.json"
"""The file that stores, for each template with a pool of examples, the folder of those examples."""
SHORT = 12  # the number of digits of the digest in a file name


class ArchivedVersion(Struct, frozen=True):
    """One stored content of a version. `count` is 1 for the first content of the version, and 2 for the second."""

    id: str
    version: int
    count: int
    content: str
    file: Path


class VersionArchive:
    """The folder of archived versions.

    The folder is listed once, when the archive is opened. Versions that are stored later are added to the list in
    memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[str, dict[int, list[ArchivedVersion]]] = {}
        self._parsed: dict[Path, Template] = {}
        self._homes: dict[str, str] = _read_homes(folder / HOMES)
        for file in sorted(folder.glob("*.prompt.md")) if folder.is_dir() else ():
            named = NAME.fullmatch(file.name)
            if named:
                self._remember(
                    ArchivedVersion(named["id"], int(named["version"]), int(named["count"]), named["content"], file)
                )

    def keep(self, template: Template, source: str) -> None:
        """Store this version, unless it is a draft or has mistakes.

        If the content is already stored, the stored source is replaced, since the status of the version may have
        changed.
        """
        if template.status is Status.DRAFT or template.faults:
            return
        known = self._entries.get(template.id, {}).get(template.version, [])
        content = template.content[:SHORT]
        same = next((entry for entry in known if entry.content == content), None)
        if isinstance(template.examples, ExamplePool):
            self._remember_home(template)
        if same is None:
            count = len(known) + 1
            file = self.folder / f"{template.id}@{template.version}.{count}-{content}.prompt.md"
            self._remember(ArchivedVersion(template.id, template.version, count, content, file))
            write_whole(file, source, durable=False)
        elif same.file.read_text("utf-8") != source:
            self._parsed.pop(same.file, None)
            first_seen = same.file.stat()
            write_whole(same.file, source, durable=False)
            os.utime(same.file, ns=(first_seen.st_atime_ns, first_seen.st_mtime_ns))

    def versions(self, id: str) -> Sequence[ArchivedVersion]:
        """Return every stored content of a template, ordered by version. The contents of one version are ordered by
        `count`.
        """
        versions = self._entries.get(id, {})
        return [entry for version in sorted(versions) for entry in versions[version]]

    def get(self, id: str, version: int) -> Template | None:
        """Return the version with its first content, or None if the version is not stored.

        Raises `TemplateError` if the file cannot be read.
        """
        entries = self._entries.get(id, {}).get(version)
        return self.read(entries[0]) if entries else None

    def read(self, entry: ArchivedVersion) -> Template:
        """Return the parsed template, and keep it in memory. Raises `TemplateError`."""
        if entry.file not in self._parsed:
            try:
                source = entry.file.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise TemplateError(str(entry.file), f"cannot be read: {error}") from error
            template = parse(source, str(entry.file))
            home = self._homes.get(entry.id, "")
            self._parsed[entry.file] = replace(template, home=home, faults=errors_of(template, source))
        return self._parsed[entry.file]

    def changed(self, template: Template) -> TemplateError | None:
        """Return an error if this version was first stored with different content, else None."""
        if template.status is Status.DRAFT:
            return None
        known = self._entries.get(template.id, {}).get(template.version)
        if not known or known[0].content == template.content[:SHORT]:
            return None
        line, column = template.places.get("version", (1, 1))
        remedy = f"write `version: {template.version + 1}`"
        what = f"the content of {template.ref} has changed since it was first used; {remedy}"
        return TemplateError(template.file, what, line, column)

    def last_active(self, id: str, below: int) -> Template | None:
        """Return the highest stored version lower than `below` that was active when it was last loaded, or None."""
        for entry in reversed(self.versions(id)):
            if entry.version < below and entry.count == 1 and self._was_active(entry) and self.read(entry).active:
                return self.read(entry)
        return None

    def _was_active(self, entry: ArchivedVersion) -> bool:
        """Return whether the text of the file has `status: active`. To save time, the file is searched without parsing
        it.
        """
        if entry.file in self._parsed:
            return True
        try:
            return ACTIVE.search(entry.file.read_text("utf-8")) is not None
        except (OSError, UnicodeDecodeError):
            return False

    def _remember_home(self, template: Template) -> None:
        """Store the folder of the template's examples.

        Archived versions need this folder, since the archive does not store examples.
        """
        home = str(Path(template.file).parent.resolve())
        if self._homes.get(template.id) != home:
            self._homes[template.id] = home
            write_whole(self.folder / HOMES, msgspec.json.encode(self._homes).decode())

    def _remember(self, entry: ArchivedVersion) -> None:
        known = self._entries.setdefault(entry.id, {}).setdefault(entry.version, [])
        known.append(entry)
        known.sort(key=lambda other: other.count)


def _read_homes(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}  # the folders are written again when the templates are next read
