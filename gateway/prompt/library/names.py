"""One rule for the names of templates, wherever they are given: an id, or a family for the id of one language."""

from gateway.prompt.library.library import Library

ENGLISH = "en"


def id_of(library: Library, name: str, language: str = ENGLISH) -> str:
    """The id that a name means: itself if there is one, else that of the family in the language, in English, or in
    any; "" if there is neither. Templates in use come before others."""
    if name in library.speaking or any(template.id == name for template in library.templates):
        return name
    family = [template for template in library.templates if template.family == name]
    in_use = [template for template in family if library.speaking.get(template.id) is template] or family
    ranked = sorted(in_use, key=lambda each: (each.language != language, each.language != ENGLISH, each.id))
    return ranked[0].id if ranked else ""
