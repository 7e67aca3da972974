"""Resolves a name to a template id. A name is an id or a family. A family has a template in each language."""

from gateway.prompt.library.library import Library

ENGLISH = "en"


def id_of(library: Library, name: str, language: str = ENGLISH) -> str:
    """Return the template id for a name, or "".

    An id stands for itself. A family stands for its template in the language, else in English, else in any language.
    Templates in use come first.
    """
    if name in library.speaking or any(template.id == name for template in library.templates):
        return name
    family = [template for template in library.templates if template.family == name]
    in_use = [template for template in family if library.speaking.get(template.id) is template] or family
    ranked = sorted(in_use, key=lambda each: (each.language != language, each.language != ENGLISH, each.id))
    return ranked[0].id if ranked else ""
