"""An exchange is recorded before the last bytes of its answer are sent, so that no kill falls in between."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome
from gateway.server.app import application
from gateway.settings.read import load
from tests.conftest import UpstreamInThread
from tests.doubles.upstream import Script

CONFIG = """
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["m"]
[prompt]
templates = []
[data]
folder = "{folder}"
"""
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = [("content-type", "text/event-stream")]
PATHS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
    "/v1/messages": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 9},
    "/v1/responses": {"input": "a", "store": False},
}
WHOLE = Script(pieces=[ANSWER])
STREAMED = Script(headers=STREAM, framing="chunked", pieces=[EVENT, DONE])
UNMARKED = Script(headers=STREAM, framing="chunked", pieces=[EVENT])
CUT = Script(headers=STREAM, framing="chunked", pieces=[EVENT], end="reset")
FAULTY = Script(headers=STREAM, framing="chunked", pieces=[EVENT, ERROR, DONE])
REFUSED = Script(status=400, pieces=[b'{"error":{"message":"no"}}'])
BROKEN = Script(status=500, pieces=[b'{"error":{"message":"no"}}'])
PACKED = Script(headers=[*STREAM, ("content-encoding", "br")], framing="chunked", pieces=[gzip.compress(EVENT + DONE)])


class Client:
    """Calls the gateway in this process, and notes for each piece that it gets how many exchanges were recorded."""

    def __init__(self, gateway: Gateway) -> None:
        self._app = application(gateway)
        self.records: list[tuple[Exchange, ExchangeOutcome]] = []
        self.records_at_piece: list[int] = []
        self.body = b""
        assert gateway.keeping is not None
        write = gateway.keeping.spool.record

        def record(exchange: Exchange, outcome: ExchangeOutcome) -> None:
            write(exchange, outcome)
            self.records.append((exchange, outcome))

        gateway.keeping.spool.record = record  # type: ignore[method-assign]

    async def post(self, path: str, body: dict[str, Any], *, leaves_after: int = -1) -> None:
        """Send a request. After `leaves_after` pieces the client leaves."""
        gone = asyncio.Event()
        inbox = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

        async def receive() -> Any:
            if inbox:
                return inbox.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] != "http.response.body":
                return
            self.records_at_piece.append(len(self.records))
            self.body += message["body"]
            if len(self.records_at_piece) == leaves_after:
                gone.set()
                await asyncio.sleep(10)  # a client that doesn't read

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1:8080"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8080),
            "scheme": "http",
            "state": {},
        }
        await self._app(scope, receive, send)  # type: ignore[arg-type]


@pytest.fixture
async def client(upstream: UpstreamInThread, tmp_path: Path) -> AsyncIterator[Client]:
    (tmp_path / "config.toml").write_text(CONFIG.format(port=upstream.port, folder=tmp_path / "data"))
    gateway = assemble(load(tmp_path / "config.toml"))
    await gateway.open()
    yield Client(gateway)
    await gateway.aclose()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("script", "ending"),
    [
        pytest.param(WHOLE, "finished", id="whole"),
        pytest.param(STREAMED, "finished", id="streamed"),
        pytest.param(UNMARKED, "", id="without an end mark"),
        pytest.param(CUT, "failed", id="cut"),
        pytest.param(FAULTY, "failed", id="with an error before the end mark"),
        pytest.param(REFUSED, "finished", id="refused"),
        pytest.param(BROKEN, "", id="broken"),
        pytest.param(PACKED, "", id="compressed"),
    ],
)
async def test_the_last_piece_finds_its_exchange_recorded(
    client: Client, upstream: UpstreamInThread, path: str, script: Script, ending: str
) -> None:
    upstream.double.play(script)

    await client.post(path, {"model": "m", "stream": script.headers != WHOLE.headers} | PATHS[path])

    assert len(client.records) == 1
    assert client.records_at_piece[-1] == 1
    if ending:  # the others end as the endpoint's translation decides
        assert client.records[0][1].ending == ending


@pytest.mark.parametrize("path", PATHS)
async def test_the_end_mark_of_a_stream_finds_its_exchange_recorded(
    client: Client, upstream: UpstreamInThread, path: str
) -> None:
    upstream.double.play(STREAMED)

    await client.post(path, {"model": "m", "stream": True} | PATHS[path])

    # the last message only closes the stream
    assert client.records_at_piece[-2:] == [1, 1]
    recorded = client.records[0][1]
    assert recorded.body == client.body
    assert (recorded.ending, recorded.error) == ("finished", "")


async def test_a_request_that_no_backend_takes_is_recorded_before_its_refusal(client: Client) -> None:
    await client.post("/v1/chat/completions", {"model": "unknown"} | PATHS["/v1/chat/completions"])

    assert client.records_at_piece == [1]
    assert client.records[0][1].ending == "failed"


async def test_a_client_that_leaves_while_the_last_bytes_are_sent_has_one_record(
    client: Client, upstream: UpstreamInThread
) -> None:
    upstream.double.play(WHOLE)

    await client.post("/v1/chat/completions", {"model": "m"} | PATHS["/v1/chat/completions"], leaves_after=1)

    assert [outcome.ending for _, outcome in client.records] == ["finished"]


async def test_a_client_that_leaves_a_stream_early_is_recorded_once_as_gone(
    client: Client, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[EVENT], end="stall"))

    await client.post(
        "/v1/chat/completions", {"model": "m", "stream": True} | PATHS["/v1/chat/completions"], leaves_after=1
    )

    assert [(outcome.ending, outcome.status) for _, outcome in client.records] == [("left", 200)]
