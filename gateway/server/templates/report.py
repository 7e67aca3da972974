"""Reports from the records how each template was used, as JSON."""

import asyncio
from functools import partial
from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from gateway.prompt.policy.standings import newest_states, standings_path
from gateway.records.template_report import as_json, report
from gateway.server.handlers import Caller, Shared, admin_only, json_bytes
from gateway.server.templates.records import read_records

Since = Annotated[float, QueryParameter(description="Only requests since this time, in seconds since 1970")]


@get("/v1/foreword/templates/report", summary="How each template was used", tags=["Foreword"])
async def template_report(gateway: Shared, key: Caller, since: Since = 0.0) -> Response[bytes]:
    """For each template: how often it was chosen, how often and why it left the prompt unchanged, how often it rewrote
    the prompt, the feedback compared with the controls, the result of the job `watch`, and the tokens that it added.
    Only for admin keys."""
    admin_only(key, "read the report on templates, because it covers the exchanges of all keys")
    uses = await read_records(gateway, partial(report, since_s=since))
    standings = await asyncio.to_thread(newest_states, standings_path(gateway.settings.data_folder))
    return json_bytes(as_json(uses, standings))
