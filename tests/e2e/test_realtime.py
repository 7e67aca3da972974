"""The realtime API through the gateway, by the official client and by a plain WebSocket. The backend is a stub."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.doubles.process import GatewayProcess, running
from tests.doubles.realtime import RealtimeStub

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.1
[prompt]
mode = "off"
[server]
allowed_origins = ["https://app.example"]
drain_notice_s = 0
drain_s = 0.3
[telemetry]
access_log = "access.log"
[routing]
default = "gpt-realtime"
aliases = {{ "our-voice" = "gpt-realtime" }}
[routing.paths]
"/v1/elsewhere" = "azure"
[models.renamed]
backend = "up"
upstream = "far/away name"
[backends.fake]
kind = "scripted"
name = "fake"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-of-the-backend"
models = ["gpt-realtime*", "whisper-1"]
[backends.down]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["down"]
[backends.azure]
kind = "azure"
base_url = "http://127.0.0.1:{port}"
api_key = "azure-key"
api_version = "2024-10-21"
models = ["a b"]
[keys.mine]
secret = "sk-mine-123"
[keys.few]
secret = "sk-few-123"
models = ["gpt-realtime", "renamed"]
[keys.slow]
secret = "sk-slow-123"
requests_per_minute = 1
[keys.one]
secret = "sk-one-123"
websockets = 1
"""


QUERY = "?model=gpt-realtime"


class Stub:
    """The stub on an event loop in a thread."""

    def __init__(self) -> None:
        self.double = RealtimeStub()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self.double.start(), self.loop).result(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.double.stop(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def ending(self) -> tuple[int | None, str | None]:
        """Return how the newest connection ended, as the stub saw it."""
        within(lambda: bool(self.double.endings))
        return self.double.endings.pop()


def within(true: Any, seconds: float = 5.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture(scope="module")
def started() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.stop()


@pytest.fixture
def stub(started: Stub) -> Stub:
    within(lambda: started.double.open == 0)  # connections of the test before
    started.double.handshakes.clear()
    started.double.heard.clear()
    started.double.endings.clear()
    return started


@pytest.fixture(scope="module")
def gateway(started: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("realtime"), CONFIG.format(port=started.port)) as process:
        yield process


def opened(
    gateway: GatewayProcess,
    query: str = "?model=gpt-realtime",
    key: str = "mine",
    path: str = "/v1/realtime",
    **more: Any,
) -> ClientConnection:
    headers = {"authorization": f"Bearer sk-{key}-123"} if key else {}
    headers |= more.pop("headers", {})
    url = f"ws://127.0.0.1:{gateway.port}{path}{query}"
    return connect(url, additional_headers=headers, max_size=None, compression=None, proxy=None, legacy=True, **more)


def greeted(*given: Any, **more: Any) -> ClientConnection:
    client = opened(*given, **more)
    assert json.loads(client.recv())["type"] == "session.created"
    return client


def said(client: ClientConnection, **event: Any) -> Any:
    """Send an event, and return the answer to it."""
    client.send(json.dumps(event))
    return json.loads(client.recv())


def record_of(gateway: GatewayProcess, id: str, key: str = "mine") -> Any:
    found: list[httpx.Response] = []

    def look() -> bool:
        headers = {"authorization": f"Bearer sk-{key}-123"}
        found.append(httpx.get(f"{gateway.url}/v1/foreword/exchanges/{id}", headers=headers, verify=False))
        return found[-1].status_code == 200

    within(look)
    return found[-1].json()


@pytest.mark.filterwarnings("ignore:connect.. must be used")  # by the official client
def test_the_official_client_talks_to_the_backend(gateway: GatewayProcess, stub: Stub) -> None:
    texts = []
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-mine-123")
    with client, client.realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(session={"type": "realtime", "instructions": "Be kind."})
        connection.response.create()
        for event in connection:
            if event.type == "response.output_text.delta":
                texts.append(event.delta)
            if event.type == "response.done":
                assert event.response.usage is not None
                assert event.response.usage.total_tokens == 42
                break
    assert texts == ["Hel", "lo"]
    handshake = stub.double.handshakes[-1]
    assert handshake.path == "/v1/realtime?model=gpt-realtime"
    assert handshake.headers.get_all("authorization") == ["Bearer sk-of-the-backend"]
    assert handshake.headers["user-agent"].startswith("OpenAI/Python")
    assert "sk-mine" not in str(handshake.headers)
    assert json.loads(stub.double.heard[0])["session"]["instructions"] == "Be kind."
    assert stub.ending()[0] == 1000


async def test_the_official_asynchronous_client_does_too(gateway: GatewayProcess, stub: Stub) -> None:
    client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-mine-123")
    async with client, client.realtime.connect(model="our-voice") as connection:
        await connection.response.create()
        async for event in connection:
            if event.type == "response.done":
                break
    assert stub.double.handshakes[-1].path == "/v1/realtime?model=gpt-realtime"


def test_messages_pass_byte_for_byte_whatever_their_size(gateway: GatewayProcess, stub: Stub) -> None:
    odd = '{ "type":"odd",\t"n":1.0, "big":12345678901234567890, "é":"\\u00e9", "type2": null }'
    sound = os.urandom(5_000_000)
    with greeted(gateway) as client:
        client.send(odd)
        assert json.loads(client.recv())["event"]["n"] == 1
        client.send(sound)
        assert client.recv() == sound
        client.send([odd[:20], odd[20:]], text=True)
        client.recv()
    assert stub.double.heard == [odd, sound, odd]


def test_a_page_sends_its_key_as_a_subprotocol_which_stays_here(gateway: GatewayProcess, stub: Stub) -> None:
    offered: Any = [
        "realtime",
        "openai-insecure-api-key.sk-mine-123",
        "openai-organization.org-1",
        "openai-project.p-1",
    ]
    client = greeted(gateway, key="", subprotocols=offered, headers={"origin": "https://app.example"})
    with client:
        assert client.subprotocol == "realtime"
    handshake = stub.double.handshakes[-1]
    assert handshake.headers.get_all("sec-websocket-protocol") == ["realtime"]
    assert "origin" not in handshake.headers
    for secret in ("sk-mine-123", "org-1"):
        assert secret not in str(handshake.headers)
    assert "sk-mine-123" not in gateway.log.read_text()
    log = gateway.folder / "access.log"
    within(lambda: "/v1/realtime" in log.read_text())
    assert "sk-mine-123" not in log.read_text()


@pytest.mark.parametrize(
    ("query", "key", "path", "status", "code"),
    [
        ("?model=gpt-realtime", "wrong", "/v1/realtime", 401, "invalid_api_key"),
        ("?model=gpt-realtime", "", "/v1/realtime", 401, "invalid_api_key"),
        ("?model=nobody", "mine", "/v1/realtime", 404, "not_found"),
        ("", "mine", "/v1/realtime", 404, "not_found"),
        ("?model=fake", "mine", "/v1/realtime", 404, "not_found"),
        ("?model=gpt-realtime-2", "few", "/v1/realtime", 403, "model_not_allowed"),
        ("", "few", "/v1/realtime", 403, "model_not_allowed"),
        ("?model=gpt-realtime&model=gpt-realtime-2", "few", "/v1/realtime", 404, "model_not_found"),
        ("?call_id=rtc_of_another", "mine", "/v1/realtime", 404, "not_found"),
        ("?model=gpt-realtime", "mine", "/v1/chat/completions", 404, "not_found"),
        ("?model=gpt-realtime", "mine", "/v1/../realtime", 404, "not_found"),
        ("?model=down", "mine", "/v1/realtime", 502, "backend_unreachable"),
    ],
)
def test_a_refusal_is_a_status(
    gateway: GatewayProcess, stub: Stub, query: str, key: str, path: str, status: int, code: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(gateway, query, key, path)
    response = refused.value.response
    assert response.status_code == status
    error = json.loads(response.body or b"")["error"]
    assert error["code"] == code
    assert response.headers["x-foreword-id"].startswith("fw-")
    assert stub.double.handshakes == []


def test_a_page_of_another_origin_is_refused(gateway: GatewayProcess, stub: Stub) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(gateway, headers={"origin": "https://evil.example"})
    assert refused.value.response.status_code == 403


def test_a_backends_refusal_keeps_its_status_and_body(gateway: GatewayProcess, stub: Stub) -> None:
    stub.double.refuse_with = 429
    with pytest.raises(InvalidStatus) as refused:
        opened(gateway)
    response = refused.value.response
    assert response.status_code == 429
    assert json.loads(response.body or b"")["error"]["code"] == "no_such_model"
    assert response.headers["x-request-id"] == "r7"
    assert record_of(gateway, response.headers["x-foreword-id"])["status"] == 429


def test_a_backends_redirect_is_not_followed(gateway: GatewayProcess, stub: Stub) -> None:
    stub.double.refuse_with = 307
    with pytest.raises(InvalidStatus) as refused:
        opened(gateway)
    assert refused.value.response.status_code == 502
    assert len(stub.double.handshakes) == 1


def test_another_name_of_the_model_is_replaced_in_the_query_alone(gateway: GatewayProcess, stub: Stub) -> None:
    greeted(gateway, "?a=%41&model=renamed&b", "few").close()
    assert stub.double.handshakes[-1].path == "/v1/realtime?a=%41&model=far%2Faway%20name&b"


def test_a_key_in_the_query_stays_here(gateway: GatewayProcess, stub: Stub) -> None:
    greeted(gateway, "?model=gpt-realtime&key=sk-mine-123&x=sk-mine-123&y=1").close()
    assert stub.double.handshakes[-1].path == "/v1/realtime?model=gpt-realtime&y=1"


def test_azures_dated_version_names_the_deployment_in_the_query(gateway: GatewayProcess, stub: Stub) -> None:
    greeted(gateway, "?model=a%20b").close()
    handshake = stub.double.handshakes[-1]
    assert handshake.path == "/openai/realtime?api-version=2024-10-21&deployment=a%20b"
    assert handshake.headers["api-key"] == "azure-key"
    greeted(gateway, "?x=1", path="/v1/elsewhere").close()
    assert stub.double.handshakes[-1].path == "/openai/elsewhere?x=1&api-version=2024-10-21"


def test_a_message_with_another_model_or_object_is_not_passed_on(gateway: GatewayProcess, stub: Stub) -> None:
    with greeted(gateway, key="few") as client:
        session = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
        error = said(client, type="session.update", session=session)["error"]
        assert (error["type"], error["code"]) == ("permission_error", "model_not_allowed")
        client.send('{"type":"session.update","session":{"mod\\u0065l":"whisper-1"}}')
        assert json.loads(client.recv())["type"] == "error"
        item = {"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": "file-abc123"}]}
        error = said(client, type="conversation.item.create", item=item)["error"]
        assert "file-abc123" in error["message"]
        assert said(client, type="session.update", session={"model": "gpt-realtime"})["type"] == "stub.heard"
        assert said(client, type="response.cancel", response_id="resp_123456")["type"] == "stub.heard"
        id = client.response.headers["x-foreword-id"]  # type: ignore[union-attr]
    assert len(stub.double.heard) == 2
    record = record_of(gateway, id, "few")
    assert next(note for note in record["notes"] if note["stage"] == "socket")["data"]["messages_refused"] == 3


def test_a_connection_counts_as_one_request(gateway: GatewayProcess, stub: Stub) -> None:
    greeted(gateway, key="slow").close()
    with pytest.raises(InvalidStatus) as refused:
        opened(gateway, key="slow")
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["retry-after"]) > 0


def test_a_key_has_as_many_connections_as_it_may(gateway: GatewayProcess, stub: Stub) -> None:
    first = greeted(gateway, key="one")
    with pytest.raises(InvalidStatus) as refused:
        opened(gateway, key="one")
    assert refused.value.response.status_code == 429
    first.close()
    stub.ending()

    def again() -> bool:
        try:
            greeted(gateway, key="one").close()
        except InvalidStatus:
            return False
        return True

    within(again)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
def test_codes_and_reasons_pass_both_ways(gateway: GatewayProcess, stub: Stub, code: int) -> None:
    with greeted(gateway) as client:
        client.send(json.dumps({"type": "stub.close", "code": code, "reason": "bye, é"}))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "bye, é")
    stub.ending()
    greeted(gateway).close(code, "bye, é")
    assert stub.ending() == (code, "bye, é")


def test_an_end_without_a_code_stays_without_one(gateway: GatewayProcess, stub: Stub) -> None:
    client = greeted(gateway)
    client.protocol.send_close()
    client.socket.sendall(b"".join(client.protocol.data_to_send()))
    assert stub.ending() == (1005, "")


def test_a_client_that_vanishes_ends_the_backends_connection(gateway: GatewayProcess, stub: Stub) -> None:
    client = greeted(gateway)
    id = client.response.headers["x-foreword-id"]  # type: ignore[union-attr]
    client.socket.close()
    assert stub.ending() == (1001, "")
    assert record_of(gateway, id)["ending"] == "left"


def test_a_backend_that_vanishes_ends_the_clients_connection(gateway: GatewayProcess, stub: Stub) -> None:
    with greeted(gateway) as client:
        id = client.response.headers["x-foreword-id"]  # type: ignore[union-attr]
        client.send('{"type": "stub.vanish"}')
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1014
    assert record_of(gateway, id)["ending"] == "failed"


def test_a_client_that_reads_slowly_holds_the_backend_back(gateway: GatewayProcess, stub: Stub) -> None:
    with greeted(gateway, max_queue=1) as client:
        before = resident(gateway)
        client.send(json.dumps({"type": "stub.flood", "size": 1_000_000, "count": 200}))
        time.sleep(0.7)
        assert resident(gateway) - before < 60 * 2**20
        for _ in range(200):
            assert len(client.recv()) == 1_000_000


def resident(gateway: GatewayProcess) -> int:
    """Return the resident memory of the gateway's workers in bytes."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in gateway.workers()]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def test_the_record_has_the_length_the_traffic_and_the_tokens(gateway: GatewayProcess, stub: Stub) -> None:
    with greeted(gateway) as client:
        id = client.response.headers["x-foreword-id"]  # type: ignore[union-attr]
        for _ in range(2):
            client.send('{"type": "response.create"}')
            while json.loads(client.recv())["type"] != "response.done":
                pass
        client.close(1000, "enough")
    record = record_of(gateway, id)
    assert (record["ending"], record["status"], record["backend"], record["model"]) == (
        "finished",
        101,
        "up",
        "gpt-realtime",
    )
    answer = record["answer"]
    assert (answer["prompt_tokens"], answer["completion_tokens"], answer["cached_tokens"]) == (60, 24, 20)
    assert record["endpoint"] == "realtime"
    note = next(note for note in record["notes"] if note["stage"] == "socket")
    assert (note["decision"], note["reason"]) == ("ended by client", "code 1000")
    assert note["data"]["messages_received"] == 2
    assert note["data"]["messages_sent"] == 7
    assert note["data"]["size_received"] == 54


def test_a_gateway_that_stops_tells_both_sides(started: Stub, stub: Stub, tmp_path: Path) -> None:
    with running(tmp_path, CONFIG.format(port=started.port)) as process:
        with greeted(process) as client:
            id = client.response.headers["x-foreword-id"]  # type: ignore[union-attr]
            process.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert stub.ending() == (1001, "")
        process.process.wait(20)
    assert id.encode() in b"".join(path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())


def test_a_reload_leaves_open_connections_alone_until_the_drain_is_over(
    started: Stub, stub: Stub, tmp_path: Path
) -> None:
    config = CONFIG.format(port=started.port).replace("drain_s = 0.3", "drain_s = 20")
    with running(tmp_path, config) as process:
        with greeted(process) as client:
            first = process.workers()
            process.process.send_signal(signal.SIGHUP)
            within(lambda: not set(first) >= set(process.workers()), 20)
            assert said(client, type="still")["type"] == "stub.heard"
            greeted(process).close()
        assert stub.ending()[0] == 1000
