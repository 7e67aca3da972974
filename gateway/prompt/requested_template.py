"""The stage for a template that the request names in `foreword.template`.

If the template cannot be used, the request is refused. Otherwise, the client would get an answer to a different prompt.
"""

from gateway.ask import Mode
from gateway.errors import BadRequest, KeyNotAllowed, NotReady, RequestError
from gateway.exchange import Exchange
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.rewrite import RewriteStage

PARAM = "foreword.template"
RETRY_S = 2.0


class RequestedTemplateStage:
    """The stage `rewrite` for requests that name a template.

    `rewrite` renders the template, and is None if the gateway has no templates.
    """

    name = "rewrite"

    def __init__(self, rewrite: RewriteStage | None) -> None:
        self._rewrite = rewrite

    async def __call__(self, exchange: Exchange) -> Exchange:
        ref = exchange.ask.controls.template
        if not ref:
            return exchange
        if self._rewrite is None:
            raise BadRequest(f"This gateway has no templates, so {ref[:80]!r} cannot be used.", param=PARAM)
        if exchange.mode is Mode.OFF:
            return _switched_off(exchange)
        try:
            return await self._rewrite.rewritten(exchange)
        except KeptAsIs as unchanged:
            raise _refused(ref, unchanged) from unchanged


def _switched_off(exchange: Exchange) -> Exchange:
    """Return the exchange unchanged if the request itself sets the mode to off.

    Raises `KeyNotAllowed` if the mode of the key is off, or `BadRequest` if the mode in the configuration is off.
    """
    if exchange.ask.controls.mode is Mode.OFF:
        return exchange.noted("rewrite", "kept", "the request's own mode is off")
    if exchange.key.mode is Mode.OFF:
        raise KeyNotAllowed("With this key no template may be used: its mode is off.", param=PARAM)
    what = 'The configured mode is off, so no template is used. Send "mode": "on" beside the template.'
    raise BadRequest(what, param=PARAM, code="mode_off")


def _refused(ref: str, unchanged: KeptAsIs) -> RequestError:
    reason = unchanged.reason.rstrip(".?")
    mark = "?" if unchanged.reason.endswith("?") else "."
    error = unchanged.refusal(
        f"The template {ref[:80]!r} cannot be used for this request: {reason}{mark}",
        param=PARAM,
        code="template_not_usable",
        retry_after_s=RETRY_S if unchanged.refusal is NotReady else 0.0,
    )
    error.calls = unchanged.calls
    return error
