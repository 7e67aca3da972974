"""The template library over HTTP: versions, pointers, lineage, measured scores, and reading the files
again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from litestar import Response, get, post
from msgspec import Struct
from msgspec.structs import replace

from gateway.assembly.gateway import Gateway
from gateway.errors import NotFound, NotReady
from gateway.loading import LateLoader
from gateway.prompt.authoring.history import HistoryVersion, history, present
from gateway.prompt.library.library import Library
from gateway.prompt.library.pointers import Pointer
from gateway.prompt.templates.template import Template
from gateway.server.handlers import Caller, PathText, Shared, admin_only, json_of


class TemplateSummary(Struct, frozen=True):
    """One template without its text, which may be confidential."""

    id: str
    speaks: int
    """The version in use, or 0 if none is in use."""
    versions: tuple[HistoryVersion, ...]
    pointer: Pointer | None
    intent: str
    language: str
    family: str
    technique: str
    description: str
    slots: tuple[str, ...]


class TemplateDetail(Struct, frozen=True):
    """One template with the messages of its newest version. For admin keys."""

    template: TemplateSummary
    messages: tuple[dict[str, str], ...]


@get("/v1/foreword/templates", summary="The templates, with their versions", tags=["Foreword"])
async def list_templates(gateway: Shared) -> Response[bytes]:
    """Status, pointers, lineage and measured scores of each version, without texts.

    Versions that exist only in the archive are left out here; the route of a single template lists them.
    """
    library = _library(gateway)
    return json_of({"data": await asyncio.to_thread(_all, library)})


@get("/v1/foreword/templates/{id:str}", summary="One template, with its versions", tags=["Foreword"])
async def get_template(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Status, pointers, lineage and measured scores of each version of one template. Admin keys also see the messages
    of the newest version."""
    library = _library(gateway)
    template = library.get(id)
    if template is None:
        raise NotFound(f"There is no template {id!r}.")
    listed = await asyncio.to_thread(_with_history, library, template)
    if not key.admin:
        return json_of(listed)
    messages = tuple({"role": part.role, "content": part.source} for part in template.parts)
    return json_of(TemplateDetail(listed, messages))


@post("/v1/foreword/templates/reload", status_code=200, summary="Read the templates again", tags=["Foreword"])
async def reload_templates(gateway: Shared, key: Caller) -> Response[bytes]:
    """Replaces the whole library. If a file is broken, nothing is replaced, and a 409 lists the mistakes. Only for
    admin keys.

    The examples and the classifier are then loaded in the background. Other workers see the change within two seconds.
    """
    admin_only(key, "reload the templates")
    done = await _loader(gateway).reload()
    errors = [str(error) for error in done.errors]
    body = {"templates": done.templates, "changed": done.changed, "gone": done.gone, "errors": errors}
    return json_of(body, 409 if errors else 200)


HANDLERS = (list_templates, get_template, reload_templates)


def _all(library: Library) -> Sequence[TemplateSummary]:
    newest: dict[str, Template] = {}
    for template in library.templates:
        if template.id not in newest or template.version > newest[template.id].version:
            newest[template.id] = template
    versions = present(library)
    return [_listed(library, newest[id], versions[id]) for id in sorted(newest)]


def _with_history(library: Library, template: Template) -> TemplateSummary:
    return _listed(library, template, history(library, template.id))


def _listed(library: Library, template: Template, versions: Sequence[HistoryVersion]) -> TemplateSummary:
    speaking = library.speaking.get(template.id)
    return TemplateSummary(
        id=template.id,
        speaks=speaking.version if speaking else 0,
        # clients must not see the paths of this machine's folders
        versions=tuple(replace(version, file=Path(version.file).name) for version in versions),
        pointer=library.pointers.get(template.id),
        intent=template.intent.name,
        language=str(template.language),
        family=template.family,
        technique=str(template.technique),
        description=template.description,
        slots=tuple(template.slots),
    )


def _loader(gateway: Gateway) -> LateLoader:
    if gateway.loader is None:
        raise NotFound("This gateway has no templates. Configure [prompt] templates and [embedder].")
    return gateway.loader


def _library(gateway: Gateway) -> Library:
    library = _loader(gateway).current.library
    if library is None:
        raise NotReady("The templates are still loading.", retry_after_s=1.0)
    return library
