"""Reads the template files and pointers in folders. Unchanged files are not parsed again."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.errors import TemplateError
from gateway.prompt.library.pointers import TemplatePointers, read_pointers
from gateway.prompt.library.pools import pool_path
from gateway.prompt.templates.faults import errors_of
from gateway.prompt.templates.parse import digest_of, parse
from gateway.prompt.templates.template import Template

GLOB = "**/*.prompt.md"
MAX_BYTES = 1_000_000
"""The maximum size of a template file. A larger file is either no template or an attempt to overload the gateway."""


class FolderContents(Struct):
    """The templates and pointers in the folders. `fresh` has the source of each file that was parsed in this read."""

    templates: list[Template] = field(default_factory=list)
    errors: list[TemplateError] = field(default_factory=list)
    pointed: dict[str, TemplatePointers] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)


class TemplateReader:
    """Reads template folders.

    The reader remembers each template by the digest of its source, so an unchanged file is not parsed again.
    """

    def __init__(self) -> None:
        self._parsed: dict[str, Template] = {}

    def read(self, folders: Sequence[Path]) -> FolderContents:
        """Read the folders. This call blocks. Only one thread at a time may call it."""
        seen = FolderContents()
        parsed: dict[str, Template] = {}
        for folder in folders:
            if not folder.is_dir():
                seen.errors.append(TemplateError(str(folder), "is not a folder; see `templates` in [prompt]"))
        for path in template_files(folders):
            try:
                parsed[str(path)] = self._template(path, seen)
            except TemplateError as error:
                seen.errors.append(error)
            # let waiting requests run: a computing thread holds the interpreter lock for milliseconds
            time.sleep(0)
        for folder in dict.fromkeys(folders):
            try:
                seen.pointed = {**read_pointers(folder), **seen.pointed}
            except TemplateError as error:
                seen.errors.append(error)
        self._parsed = parsed
        seen.templates = list(parsed.values())
        return seen

    def _template(self, path: Path, seen: FolderContents) -> Template:
        source = read_source(path)
        known = self._parsed.get(str(path))
        if known is not None and known.digest == digest_of(source):
            return _with_pool(known)
        template = parse(source, str(path))
        seen.fresh[str(path)] = source
        return _with_pool(replace(template, faults=errors_of(template, source)))


def _with_pool(template: Template) -> Template:
    """Return the template with the current digest of its examples file.

    An unreadable examples file raises no error here. The error is reported when the examples are loaded.
    """
    path = pool_path(template)
    if path is None:
        return template
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        digest = ""
    return template if digest == template.pool_digest else replace(template, pool_digest=digest)


def read_source(path: Path) -> str:
    """Read the text of a template file. Raises `TemplateError`."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TemplateError(str(path), f"has {size} bytes; a template has at most {MAX_BYTES}", 1, 1)
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(str(path), f"cannot be read: {error}") from error


def template_files(folders: Sequence[Path]) -> Iterator[Path]:
    """Yield each template file in the folders once, in order."""
    files: dict[Path, None] = {}
    for folder in folders:
        files.update(dict.fromkeys(sorted(folder.glob(GLOB))))
    yield from files
