"""The page of drafts, candidates and canaries, with their changes and buttons to promote or retire them.

A button does the same as `foreword templates promote`, `retire` or `rollback`. Afterwards the gateway reads its
templates again.
"""

import asyncio
import difflib
import logging
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from litestar import Request, Response, get, post
from msgspec import Struct

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.errors import BadRequest, KeyNotAllowed, NotFound, TemplateError
from gateway.loading import archive_folder
from gateway.prompt.authoring import promote_rollback as moves
from gateway.prompt.authoring.match_check import check_examples
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.pointers import Pointer
from gateway.prompt.library.versions import VersionArchive
from gateway.prompt.templates.fields import Status
from gateway.prompt.templates.template import Template, read_ref
from gateway.server.handlers import Caller, Shared, admin_only
from gateway.server.templates.html import page
from gateway.settings.tables import Settings

PATH = "/v1/foreword/templates.html"
WAITING = (Status.DRAFT, Status.CANDIDATE, Status.CANARY)
log = logging.getLogger("foreword.templates")


class MoveForm(Struct, frozen=True):
    """One move (promote, retire or roll back), as the form sends it."""

    do: str
    id: str
    version: int
    to: str = ""
    share: float = 0.0


@get(PATH, summary="Templates that are not active yet, as a page", tags=["Foreword"], media_type="text/html")
async def template_page(gateway: Shared, key: Caller) -> Response[str]:
    """Drafts, candidates and canaries with their scores, changes and buttons. Only for admin keys."""
    _admin(key)
    return page("Templates", await asyncio.to_thread(_shown, gateway.settings))


@post(PATH, status_code=303, summary="Promote, retire or roll back a template", tags=["Foreword"])
async def move_template(request: Request[Any, Any, Any], gateway: Shared, key: Caller) -> Response[Any]:
    """Takes the form fields `do` (promote, retire, rollback), `ref`, `to` and `share`. A refused move is a 409 with the
    reasons. Only for admin keys, and only from this gateway's page."""
    _admin(key)
    own_page(dict(request.scope["headers"]))
    form = _read(await request.body())
    try:
        moved = await asyncio.to_thread(_move, gateway.settings, form, _examine(gateway))
    except (moves.MoveRefused, TemplateError) as refused:
        reasons = "".join(f'<p class="mind">{escape(line)}</p>' for line in str(refused).splitlines())
        return page("Not done", f'{reasons}<p><a href="{PATH}">Back</a></p>', 409)
    log.info("a template was moved", extra={"by": key.name, "did": form.do, "template": moved})
    if gateway.loader is not None:
        await gateway.loader.reload()
    return Response(None, status_code=303, headers={"location": PATH})


HANDLERS = (template_page, move_template)


def own_page(headers: Mapping[bytes, bytes]) -> None:
    """Refuse requests that a page of another site sent. A browser adds a remembered password to such requests, too.

    A browser sends the page's origin with each POST. A request with a bearer token comes from a program, so it needs no
    origin.
    """
    origin, host = headers.get(b"origin", b"").lower(), headers.get(b"host", b"").lower()
    if origin and origin.partition(b"://")[2] != host:
        raise KeyNotAllowed("A page of another origin sent this request. Use this gateway's own page instead.")
    if not origin and headers.get(b"authorization", b"")[:6].lower() == b"basic ":
        raise KeyNotAllowed("A request with a password needs an Origin. A program must send its key as a bearer token.")


def _admin(key: ClientKey) -> None:
    admin_only(key, "see the texts of templates, and promote or retire them")


def _read(body: bytes) -> MoveForm:
    fields = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    try:
        id, version = read_ref(fields.get("ref", ""))
    except ValueError:
        id, version = "", None
    do, to, share = fields.get("do", ""), fields.get("to", ""), fields.get("share", "0")
    if do not in ("promote", "retire", "rollback") or not id or (do != "rollback" and version is None):
        raise BadRequest("Give `do` (promote, retire or rollback) and `ref` (id@version; for a rollback the id).")
    if to not in ("", *(str(step) for step in moves.NEXT.values())):
        raise BadRequest("`to` must be candidate, canary or active.", param="to")
    try:
        part = float(share)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise BadRequest("`share` must be from 0 to 1, such as 0.05.", param="share")
    return MoveForm(do, id, version or 0, to, part)


def _examine(gateway: Gateway) -> moves.Examine | None:
    """Return a function that checks a template's examples with the classifier. Return None if there is no classifier.

    Call the function on a thread, because it waits for embeddings that the event loop computes.
    """
    loader, loop = gateway.loader, asyncio.get_running_loop()
    if loader is None or not loader.classifies:
        return None

    def examine(library: Library, template: Template) -> list[str]:
        classifier = loader.classifier_for(library)
        if classifier is None:
            return []
        check = asyncio.run_coroutine_threadsafe(check_examples([template], classifier.classify), loop)
        return [str(failure) for failure in check.result().failures]

    return examine


def _move(settings: Settings, form: MoveForm, examine: moves.Examine | None) -> str:
    """Make the move and return the template's reference. After a rollback, return only the template's id.

    The template files are read again first, because another worker or a command may have changed them.
    """
    library, folders, broken = _library(settings)
    if form.do == "rollback":
        moves.rollback(library, folders, form.id)
        return form.id
    template = library.get(form.id, form.version)
    if template is None:
        raise NotFound(f"There is no template {form.id}@{form.version}.")
    errors = [str(error) for error in broken if error.file == template.file]
    if errors:
        raise moves.MoveRefused(*errors)
    if form.do == "retire":
        return moves.retire(library, folders, template).ref
    step = Status(form.to) if form.to else None
    return moves.promote(library, folders, template, step, form.share, examine).ref


def _library(settings: Settings) -> tuple[Library, list[Path], list[TemplateError]]:
    folders = [(settings.root / folder).resolve() for folder in settings.prompt.templates]
    library, broken = load_library(folders, VersionArchive(archive_folder(settings)), keep=False)
    return library, folders, broken


def _shown(settings: Settings) -> str:
    library, _, broken = _library(settings)
    faults = "".join(f'<p class="mind">{escape(str(error))}</p>' for error in broken)
    waiting = [template for template in library.templates if template.status in WAITING or _tried(library, template)]
    shown = [
        _section(library, template, settings.jobs.share)
        for template in sorted(waiting, key=lambda template: template.ref)
    ]
    pointed = [_pointed(id, pointer) for id, pointer in sorted(library.pointers.items())]
    nothing = "<p>There is no draft, candidate or canary.</p>"
    back = f"<h2>Versions set by a pointer</h2>{''.join(pointed)}" if pointed else ""
    return f"{faults}{''.join(shown) or nothing}{back}"


def _tried(library: Library, template: Template) -> bool:
    pointer = library.pointers.get(template.id)
    return pointer is not None and pointer.canary == template.version


def _section(library: Library, template: Template, share: float) -> str:
    ref, step = template.ref, moves.NEXT.get(template.status)
    tried = f", used for {library.pointers[template.id].share:.0%}" if _tried(library, template) else ""
    measured = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in template.provenance.scores.items()
    )
    parent = _parent(library, template)
    look = ""
    if parent is not None:
        query = f"a={quote(ref)}&amp;b={quote(parent.ref)}"
        look = f'<p><a href="compare.html?{query}">Compare its records with {escape(parent.ref)}</a></p>'
    field = (
        f'share <input name="share" value="{share:g}" size="4" aria-label="share"> ' if step == Status.CANARY else ""
    )
    onward = _form("promote", ref, f"Promote to {step}", field, str(step)) if step else ""
    return (
        f"<h2>{escape(ref)}</h2><p>{escape(str(template.status))}{tried}. {escape(template.description)}</p>"
        f"<table>{measured}</table>{look}<pre>{''.join(_diff(parent, template))}</pre>"
        f"<p>{onward}{_form('retire', ref, 'Retire')}</p>"
    )


def _parent(library: Library, template: Template) -> Template | None:
    """Return the template's parent or, if the parent is missing, another version that is in use. Return None if there
    is neither."""
    try:
        id, version = read_ref(template.provenance.parent)
    except ValueError:
        version = None
    made_from = library.get(id, version) if version is not None else None
    speaks = library.speaking.get(template.id)
    return made_from or (speaks if speaks is not None and speaks.version != template.version else None)


def _diff(parent: Template | None, template: Template) -> Iterator[str]:
    before = _source(parent).splitlines() if parent else []
    for line in difflib.unified_diff(before, _source(template).splitlines(), lineterm="", n=2):
        if not line.startswith(("---", "+++")):
            mark = {"+": "ins", "-": "del"}.get(line[:1], "span")
            yield f"<{mark}>{escape(line)}</{mark}>\n"


def _source(template: Template) -> str:
    return Path(template.file).read_text("utf-8", "replace")


def _pointed(id: str, pointer: Pointer) -> str:
    speaks = f"version {pointer.production}" if pointer.production else "the newest active version"
    tried = f", version {pointer.canary} to {pointer.share:.0%}" if pointer.canary else ""
    undo = _form("rollback", id, "Roll back") if pointer.canary or pointer.previous else ""
    return f"<p>{escape(id)}: {speaks}{tried} {undo}</p>"


def _form(do: str, ref: str, label: str, more: str = "", to: str = "") -> str:
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in (("do", do), ("ref", ref), ("to", to))
        if value
    )
    return f'<form method="post" action="{PATH}">{hidden}{more}<button>{escape(label)}</button></form> '
