"""Reports as JSON how each template was used, from the records."""

import asyncio
from functools import partial
from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from gateway.prompt.policy.standings import newest_states, standings_path
from gateway.records.template_report import as_json, report
from gateway.server.handlers import Caller, Shared, admin_only, json_bytes
from gateway.server.templates.records import read_records

Since = Annotated[float, QueryParameter(description="Only requests since then, in seconds since 1970")]


@get("/v1/foreword/templates/report", summary="What each template did, by the records", tags=["Foreword"])
async def template_report(gateway: Shared, key: Caller, since: Since = 0.0) -> Response[bytes]:
    """For each template: the requests for which it was chosen, the share of them that was rewritten, the reasons why
    the others were not, the feedback compared with that of the template's controls, the result of the comparison, and
    the tokens that the template added. Only for admin keys."""
    admin_only(key, "read the report on templates: it reads the exchanges of all keys")
    uses = await read_records(gateway, partial(report, since_s=since))
    standings = await asyncio.to_thread(newest_states, standings_path(gateway.settings.data_folder))
    return json_bytes(as_json(uses, standings))
