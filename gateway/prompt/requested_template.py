"""The stage for a template that the request names (`foreword.template`): used as ordered, or the request is refused.

An order that is dropped without an error would give the client an answer to another prompt than it asked for.
"""

from gateway.errors import BadRequest, KeyNotAllowed, NotReady, RequestError
from gateway.exchange import Exchange, Mode
from gateway.prompt.rewrite import KeptAsIs, RewriteStage

PARAM = "foreword.template"
RETRY_S = 2.0


class RequestedTemplateStage:
    """`rewrite` renders the template. None: there are no templates here."""

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
        except KeptAsIs as kept:
            raise _refused(ref, kept) from kept


def _switched_off(exchange: Exchange) -> Exchange:
    """The client's own mode off is an order as well, and goes first. Raises `KeyNotAllowed` or `BadRequest`."""
    if exchange.ask.controls.mode is Mode.OFF:
        return exchange.noted("rewrite", "kept", "the request's own mode is off")
    if exchange.key.mode is Mode.OFF:
        raise KeyNotAllowed("With this key no template may be used: its mode is off.", param=PARAM)
    what = 'The configured mode is off, so no template is used. Send "mode": "on" beside the template.'
    raise BadRequest(what, param=PARAM, code="mode_off")


def _refused(ref: str, kept: KeptAsIs) -> RequestError:
    reason = kept.reason.rstrip(".?")
    mark = "?" if kept.reason.endswith("?") else "."
    error = kept.refusal(
        f"The template {ref[:80]!r} cannot be used for this request: {reason}{mark}",
        param=PARAM,
        code="template_not_usable",
        retry_after_s=RETRY_S if kept.refusal is NotReady else 0.0,
    )
    error.calls = kept.calls
    return error
