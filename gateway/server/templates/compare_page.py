"""Compares the recorded scores of two versions of a template, as JSON and as an HTML page."""

from html import escape
from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.prompt.answers.judge import yardstick
from gateway.records.compare import VersionComparison, as_json, compare, read_versions, rows_of
from gateway.server.handlers import Caller, Shared, admin_only, json_bytes
from gateway.server.templates.html import page
from gateway.server.templates.records import read_records

Ref = Annotated[
    str, QueryParameter(description="`id@version`; one side may be `raw`, the controls of the other version")
]
Since = Annotated[float, QueryParameter(description="Only answers since this time, in seconds since 1970")]

FORM = """<form><input name="a" value="{a}" aria-label="A" placeholder="summarise.en@3">
<input name="b" value="{b}" aria-label="B" placeholder="raw"> <button>Compare</button></form>
"""


@get("/v1/foreword/compare", summary="Compare two versions of a template by their records", tags=["Foreword"])
async def compare_versions(gateway: Shared, key: Caller, a: Ref, b: Ref, since: Since = 0.0) -> Response[bytes]:
    """The scores of both versions, and their difference with its interval. The answer also names the better version, or
    says how many more scored answers are needed to decide. Only for admin keys."""
    return json_bytes(as_json(await _compared(gateway, key, a, b, since)))


@get(
    "/v1/foreword/compare.html",
    summary="Compare two versions of a template, as a page",
    tags=["Foreword"],
    media_type="text/html",
)
async def compare_page(gateway: Shared, key: Caller, a: Ref = "", b: Ref = "raw", since: Since = 0.0) -> Response[str]:
    """A plain HTML page that loads no other files. Only for admin keys."""
    body = _shown(await _compared(gateway, key, a, b, since)) if a else "<p>Name two versions.</p>"
    if not a:
        _admin(key)
    return page(f"{a} against {b}" if a else "Compare versions", FORM.format(a=escape(a), b=escape(b)) + body)


def _admin(key: ClientKey) -> None:
    admin_only(key, "compare versions, because the comparison reads the exchanges of all keys")


async def _compared(gateway: Gateway, key: ClientKey, a: str, b: str, since_s: float) -> VersionComparison:
    _admin(key)
    versions = read_versions(a, b)
    library = gateway.loaded.library
    score = yardstick(library, [(version.id, version.version) for version in versions]) if library else None
    return await read_records(gateway, lambda database: compare(database, *versions, since_s=since_s, score_text=score))


def _shown(comparison: VersionComparison) -> str:
    head = f"<tr><th></th><th>{escape(str(comparison.a))}</th><th>{escape(str(comparison.b))}</th></tr>"
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value_a)}</td><td>{escape(value_b)}</td></tr>"
        for name, value_a, value_b in rows_of(comparison)
    )
    results = "".join(
        f'<p>{escape(measure.name)}: <span class="said">{escape(str(measure))}</span></p>'
        for measure in comparison.measures
    )
    cautions = "".join(f'<p class="mind">Mind: {escape(caution)}.</p>' for caution in comparison.cautions)
    return f"{results}<table>{head}{rows}</table>{cautions}"
