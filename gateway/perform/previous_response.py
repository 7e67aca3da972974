"""Puts the turns of an earlier response before the turns of a request that continues it.

The earlier response must be in the gateway's own records. Any other `previous_response_id` goes to the backend.
"""

from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.errors import BadRequest, NotFound
from gateway.exchange import Exchange
from gateway.records.archive import RecordArchive
from gateway.records.policy import RecordPolicy
from gateway.records.schema import ExchangeRecord
from gateway.wire.responses.answer import exchange_id
from gateway.wire.responses.read import STORED
from gateway.wire.responses.stored import Lost, carried_on, input_of

FIELD = "previous_response_id"


class PreviousResponseStage:
    """The stage `earlier`. `archive` is None if the gateway keeps no records."""

    name = "earlier"

    def __init__(self, archive: RecordArchive | None) -> None:
        self._archive = archive

    async def __call__(self, exchange: Exchange) -> Exchange:
        ask = exchange.ask
        id = exchange_id(ask.previous) if ask.previous else ""
        if not id:
            return exchange
        try:
            record, response = await stored_response(self._archive, id, exchange.key)
            items = input_of(record.raw, record.turns)
        except (NotFound, Lost) as error:
            raise _not_here(ask.previous, str(error)) from error
        done = replace(exchange, ask=carried_on(ask, items, response))
        return done.noted(self.name, "carried on", f"from {ask.previous}", {"exchange": id})


async def stored_response(archive: RecordArchive | None, id: str, key: ClientKey) -> tuple[ExchangeRecord, bytes]:
    """Return the record and the JSON of a response that the gateway sent. Raises `NotFound`, with the reason, if they
    are not stored.
    """
    if archive is None:
        raise NotFound("this gateway keeps no records ([records] policy is none)")
    try:
        record = (await archive.get(id, key)).record
    except NotFound:
        raise NotFound("it is not in the records") from None
    if record.policy != RecordPolicy.FULL:
        raise NotFound("its text is not stored: it was deleted, or the records' policy is hashed")
    response = record.answer.extra.get(STORED)
    if not isinstance(response, str):
        raise NotFound("its request had 'store': false, or it did not finish")
    return record, response.encode()


def _not_here(response: str, why: str) -> BadRequest:
    return BadRequest(
        f"The response {response!r} cannot be continued: {why}. Send its input and output items in 'input'.",
        param=FIELD,
        code="previous_response_not_found",
    )
