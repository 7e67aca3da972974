"""Endpoints that OpenAI's API lacks: preview a request, read an exchange, give feedback."""

import secrets
from time import time

import msgspec
from litestar import Response, get, post

from gateway.assembly.gateway import Gateway
from gateway.errors import NotFound
from gateway.exchange import Exchange
from gateway.records.archive import RecordArchive, as_json
from gateway.records.feedback import Feedback
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, json_bytes
from gateway.wire import preview
from gateway.wire.feedback import feedback


@post(
    "/v1/foreword/preview",
    status_code=200,
    summary="Show the changes to a request without sending it",
    tags=["Foreword"],
)
async def preview_request(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """Takes the body of a chat completion or a response, and returns each decision. No model is called."""
    ask = preview.ask(await request.body(), dict(request.scope["headers"]))
    exchange = Exchange("preview-" + secrets.token_hex(8), ask, key, dry=True, started_s=time())
    prepared = await gateway.prepare(exchange)
    return json_bytes(preview.shown(prepared, gateway.perform.body(prepared)))


@get("/v1/foreword/exchanges/{id:str}", summary="A recorded exchange", tags=["Foreword"])
async def get_exchange(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """The request, each decision, the prompt as sent, the answer, and its feedback. A key without `admin` can read only
    its own exchanges."""
    return json_bytes(as_json(await _archive(gateway).get(id, key)))


@post("/v1/foreword/feedback", status_code=201, summary="Give feedback on an answer", tags=["Foreword"])
async def give_feedback(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The body is `{"exchange": id, "score": 0 to 1, "label", "comment", "answer": the corrected answer}`. The id is in
    the header `x-foreword-id` of each answer."""
    given = feedback(await request.body())
    opinion = Feedback(given.exchange, given.score, given.label, given.comment, given.answer)
    stored = await _archive(gateway).add(opinion, key)
    return json_bytes(msgspec.json.encode(stored), 201)


def _archive(gateway: Gateway) -> RecordArchive:
    if gateway.archive is None:
        raise NotFound("This gateway keeps no records: [records] policy is none.")
    return gateway.archive
