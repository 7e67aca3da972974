"""Finds missing translations in families of templates, and templates that are never chosen."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from gateway.prompt.library.library import Library
from gateway.prompt.templates.faults import at
from gateway.prompt.templates.fields import Language, Purpose
from gateway.prompt.templates.findings import Finding, Severity
from gateway.prompt.templates.template import Template


def translations(templates: Sequence[Template]) -> Iterator[Finding]:
    """Yield a finding for each language in which a family has no template."""
    active = [template for template in templates if template.active]
    languages: dict[str, set[str]] = {}
    for template in active:
        languages.setdefault(template.family, set()).add(template.language)
    for template in active:
        for language in sorted(set(Language) - languages[template.family]):
            what = f"the family {template.family!r} has no active template in {language.value!r}"
            remedy = f"foreword templates new .../{language}.prompt.md --language {language}"
            yield at(template, "language", "missing-language", what, remedy, Severity.WARNING)


def unreachable(library: Library, templates: Sequence[Template]) -> Iterator[Finding]:
    """Yield a finding for each active template that is never used."""
    for template in templates:
        if not template.active or template.purpose is not Purpose.ANSWER:
            continue
        yield from _never_allowed(template)
        pointer = library.pointers.get(template.id)
        if pointer is not None and pointer.production and pointer.production != template.version:
            what = f"it is active, but pointers.yaml names version {pointer.production}"
            remedy = f"foreword templates retire {template.ref}, or move the pointer"
            yield at(template, "status", "unreachable", what, remedy, Severity.WARNING)
    for group in library.by_intent.values():
        yield from _shadowed([member for member in group if member.purpose is Purpose.ANSWER])


def _never_allowed(template: Template) -> Iterator[Finding]:
    models = template.models
    if all(any(fnmatchcase(allowed, denied) for denied in models.deny) for allowed in models.allow):
        what = "`models` allows no model that it does not deny" if models.allow else "`models` allows no model"
        yield at(template, "models", "unreachable", what, "widen `allow`, or narrow `deny`")


def _shadowed(group: Sequence[Template]) -> Iterator[Finding]:
    """Yield a finding for each template that is never chosen, because an earlier template of the group fits all its
    models.

    `group` is in the order in which templates are tried. Templates that serve only one question are left out.
    """
    group = [member for member in group if not member.one_question]
    for index, later in enumerate(group):
        for earlier in group[:index]:
            if _covers(earlier, later):
                what = f"it is never chosen: {earlier.ref} ({earlier.file}) comes before it for every model"
                remedy = "retire one of the two, or give each its own `models`"
                # an old version beside a newer one is only untidy; a template that is never chosen is a mistake
                level = Severity.WARNING if earlier.id == later.id else Severity.ERROR
                yield at(later, "status", "unreachable", what, remedy, level)
                break


def _covers(earlier: Template, later: Template) -> bool:
    """Return whether `earlier` fits every model that `later` fits."""
    if earlier.models.min_window > later.models.min_window or set(earlier.models.deny) - set(later.models.deny):
        return False
    return all(any(fnmatchcase(name, allowed) for allowed in earlier.models.allow) for name in later.models.allow)
