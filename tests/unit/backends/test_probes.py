"""Active probes, on real sockets: what they send, what ejects a backend, and what does not."""

import asyncio
import http.server
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.adapters import problems_of
from gateway.ask import Ask, Endpoint
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.exchange import Exchange
from gateway.settings.read import load, read_file

OK = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"A"},"finish_reason":"stop"}]}'


class Server:
    """A backend whose status, answer time and path can change."""

    def __init__(self) -> None:
        self.status = 200
        self.pause = threading.Event()
        self.pause.set()
        self.seen: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer()

            def _answer(self) -> None:
                outer.seen.append(f"{self.command} {self.path} {self.headers.get('authorization')}")
                outer.pause.wait(10)
                self.send_response(outer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(OK)))
                self.end_headers()
                self.wfile.write(OK)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.pause.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


CONFIG = """
[prompt]
templates = []
mode = "off"
[records]
policy = "none"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["m"]
api_key = "sk-up"
{more}
[backends.up.probe]
interval_s = 0.05
timeout_s = 0.05
unhealthy_after = 2
healthy_after = 2
{probe}
[backends.other]
kind = "scripted"
name = "s"
[models.chat]
deployments = [{{backend = "up", upstream = "m"}}, {{backend = "other", upstream = "s", order = 1}}]
[models.lone]
backend = "up"
upstream = "m"
"""


@asynccontextmanager
async def gateway(
    folder: Path, server: Server, probe: str = "", more: str = "", pace_s: float = 0.05
) -> AsyncIterator[Gateway]:
    config = CONFIG.format(port=server.port, probe=probe, more=more)
    (folder / "config.toml").write_text(config.replace("_s = 0.05", f"_s = {pace_s}"))
    made = assemble(load(folder / "config.toml"))
    await made.open()
    await until(lambda: made.readiness.ready)
    try:
        yield made
    finally:
        await made.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - threads tell nobody
            await asyncio.sleep(0.01)


async def answered_by(gateway: Gateway, model: str = "chat") -> str:
    body = b'{"model":"%b","messages":[{"role":"user","content":"a"}]}' % model.encode()
    exchange = await gateway.prepare(Exchange("x", Ask(Endpoint.CHAT, model, body)))
    _, reply = await gateway.perform(exchange, ())
    await reply.aclose()
    return reply.backend


async def test_a_failing_backend_is_ejected_before_a_request_finds_out_and_comes_back(
    server: Server, tmp_path: Path
) -> None:
    async with gateway(tmp_path, server) as made:
        assert await answered_by(made) == "up"
        server.status = 503
        await until(lambda: "up" in made.probes.ejected)
        asked = sum(one.startswith("POST") for one in server.seen)
        assert await answered_by(made) == "other"
        assert sum(one.startswith("POST") for one in server.seen) == asked
        assert 'foreword_backend_healthy{backend="up"} 0.0' in made.metrics.page().decode()
        assert any("up fail: status 503" in report for report in made.reports())
        # without an alternative it is still tried
        assert await answered_by(made, "lone") == "up"
        server.status = 200
        await until(lambda: not made.probes.ejected)
        assert await answered_by(made) == "up"
        page = made.metrics.page().decode()
        assert 'foreword_backend_healthy{backend="up"} 1.0' in page
        assert 'foreword_probes_total{backend="up",result="bad"}' in page


@pytest.mark.parametrize(
    ("status", "is_ejected"), [(401, True), (403, True), (500, True), (404, False), (429, False), (302, False)]
)
async def test_what_counts_as_a_failure(server: Server, tmp_path: Path, status: int, is_ejected: bool) -> None:
    server.status = status
    async with gateway(tmp_path, server) as made:
        await until(lambda: len(server.seen) > 4)
        assert ("up" in made.probes.ejected) is is_ejected


async def test_a_backend_that_does_not_answer_in_time_is_ejected(server: Server, tmp_path: Path) -> None:
    server.pause.clear()
    async with gateway(tmp_path, server) as made:
        await until(lambda: "up" in made.probes.ejected)
        assert made.probes.ejected["up"] == "no answer within 0.05 s"


async def test_a_backend_that_is_down_is_ejected(server: Server, tmp_path: Path) -> None:
    server.close()
    async with gateway(tmp_path, server) as made:
        await until(lambda: "up" in made.probes.ejected)
        assert "cannot be reached" in made.probes.ejected["up"]


async def request_that_waits(made: Gateway, server: Server) -> "asyncio.Task[str]":
    """Return a request that holds the only connection. If a probe has the connection, another attempt is made later."""
    for _ in range(50):
        probes = len(server.seen)
        await until(lambda: len(server.seen) > probes + 1)  # noqa: B023 - awaited here
        server.pause.clear()
        asking = asyncio.create_task(answered_by(made))
        await until(lambda: asking.done() or any(one.startswith("POST") for one in server.seen))  # noqa: B023
        if not asking.done():
            return asking
        server.pause.set()
    raise AssertionError(server.seen)


async def test_a_backend_whose_connections_are_all_in_use_is_not_ejected(server: Server, tmp_path: Path) -> None:
    # a probe that has the connection when the server pauses must not fail for that
    async with gateway(tmp_path, server, more="max_connections = 1\nmax_waiting = 0", pace_s=0.2) as made:
        asking = await request_that_waits(made, server)
        await asyncio.sleep(1.0)
        assert not made.probes.ejected
        server.pause.set()
        assert await asking == "up"


@pytest.mark.parametrize(
    ("probe", "sent"),
    [
        ("", "GET /v1/models Bearer sk-up"),
        ('path = "/health"', "GET /health Bearer sk-up"),
        ('model = "m"', "POST /v1/chat/completions Bearer sk-up"),
    ],
)
async def test_a_probe_asks_no_model_unless_one_is_named(server: Server, tmp_path: Path, probe: str, sent: str) -> None:
    async with gateway(tmp_path, server, probe):
        await until(lambda: len(server.seen) > 2)

    assert set(server.seen) == {sent}


async def test_mistakes_in_a_probe_are_told_with_place_and_remedy(server: Server, tmp_path: Path) -> None:
    config = CONFIG.format(port=1, more="", probe='path = "a b"\nintervall_s = 3')
    (tmp_path / "config.toml").write_text(config.replace("timeout_s = 0.05", "timeout_s = 9"))
    settings, problems = read_file(tmp_path / "config.toml")
    assert settings is not None
    told = "\n".join(str(problem) for problem in [*problems, *problems_of(settings)])

    assert "[backends.up] probe intervall_s: unknown key\n    Did you mean 'interval_s'?" in told
    (tmp_path / "config.toml").write_text(
        config.replace("timeout_s = 0.05", "timeout_s = 9").replace("intervall_s", "#")
    )
    settings, _ = read_file(tmp_path / "config.toml")
    assert settings is not None
    told = "\n".join(str(problem) for problem in problems_of(settings))
    assert "[backends.up] probe.path: 'a b' is no path" in told
    assert "[backends.up] probe.timeout_s: is longer than interval_s" in told
