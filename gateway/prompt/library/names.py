"""Finds the template id for a name.

A name is either an id or a family. A family is a group of templates, one in each language.
"""

from gateway.prompt.library.library import Library

ENGLISH = "en"


def id_of(library: Library, name: str, language: str = ENGLISH) -> str:
    """Return the template id for a name, or "" if no template matches.

    The name may be an id. If it is a family, the family's template in `language` is preferred, then its template in
    English, then any other. Templates in use are preferred to others.
    """
    if name in library.speaking or any(template.id == name for template in library.templates):
        return name
    family = [template for template in library.templates if template.family == name]
    in_use = [template for template in family if library.speaking.get(template.id) is template] or family
    ranked = sorted(in_use, key=lambda each: (each.language != language, each.language != ENGLISH, each.id))
    return ranked[0].id if ranked else ""
