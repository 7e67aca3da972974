"""All the templates of some folders, as one frozen value that is swapped whole on reload."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from msgspec import Struct

from gateway.errors import TemplateError
from gateway.prompt.template import Template, parse

GLOB = "**/*.prompt.md"


class Library(Struct, frozen=True):
    """The templates, by id and by intent."""

    templates: tuple[Template, ...] = ()
    by_ref: Mapping[tuple[str, int], Template] = {}
    by_intent: Mapping[tuple[str, str], tuple[Template, ...]] = {}
    """Active templates by (intent, language), the one to prefer first."""

    @property
    def intents(self) -> tuple[str, ...]:
        """The names of all intents that an active template serves, sorted."""
        return tuple(sorted({template.intent.name for template in self.templates if template.active}))

    def get(self, id: str, version: int | None = None) -> Template | None:
        """The template of that id; without a version, the highest."""
        if version is not None:
            return self.by_ref.get((id, version))
        found = [template for template in self.templates if template.id == id]
        return max(found, key=lambda template: template.version, default=None)

    def for_intent(self, intent: str, language: str, model: str = "", window_tokens: int = 0) -> Template | None:
        """The active template for an intent in exactly this language, fit for the model.

        A query in Chinese never gets an English template: that would be an answer in English.
        `window_tokens` 0 is unknown and fits everything.
        """
        for template in self.by_intent.get((intent, language), ()):
            if _fits(template, model, window_tokens):
                return template
        return None


def load_library(folders: Sequence[Path]) -> tuple[Library, list[TemplateError]]:
    """Read every template file below the folders. A broken file is reported and left out, whole."""
    templates: list[Template] = []
    errors: list[TemplateError] = []
    for path in _files(folders, errors):
        try:
            templates.append(parse(path.read_text("utf-8"), str(path)))
        except TemplateError as error:
            errors.append(error)
        except (OSError, UnicodeDecodeError) as error:
            errors.append(TemplateError(str(path), f"cannot be read: {error}"))
    return build_library(templates, errors), errors


def build_library(templates: Sequence[Template], errors: list[TemplateError]) -> Library:
    """A library of these; the second of two with the same id and version is reported and left out."""
    by_ref: dict[tuple[str, int], Template] = {}
    for template in templates:
        first = by_ref.setdefault((template.id, template.version), template)
        if first is not template:
            line, column = template.places.get("id", (1, 1))
            what = f"the id {template.id!r} with version {template.version} is taken by {first.file}"
            errors.append(TemplateError(template.file, what, line, column))
    kept = tuple(by_ref.values())
    by_intent: dict[tuple[str, str], list[Template]] = {}
    for template in sorted(kept, key=_preference):
        if template.active:
            by_intent.setdefault((template.intent.name, template.language), []).append(template)
    return Library(kept, by_ref, {key: tuple(found) for key, found in by_intent.items()})


def _files(folders: Sequence[Path], errors: list[TemplateError]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            errors.append(TemplateError(str(folder), "is not a folder; see `templates` in [prompt]"))
        found.update(dict.fromkeys(sorted(folder.glob(GLOB))))
    return list(found)


def _preference(template: Template) -> tuple[bool, int, str]:
    """Those for named models first, then the newest, then by id so that the order is always the same."""
    return template.models.allow == ("*",), -template.version, template.id


def _fits(template: Template, model: str, window_tokens: int) -> bool:
    models = template.models
    if window_tokens and models.min_window > window_tokens:
        return False
    if model and any(fnmatchcase(model, name) for name in models.deny):
        return False
    return not model or any(fnmatchcase(model, name) for name in models.allow)
