"""A share of requests that goes to another model too: what is recorded, and that no client notices."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.adapters import problems_of
from gateway.ask import Ask, ClientKey, Endpoint
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.errors import NotFound
from gateway.exchange import Exchange
from gateway.perform.mirror import is_repeatable, mirrored_id
from gateway.server.app import application
from gateway.settings.read import load, read_file
from tests.doubles.upstream import Script, Upstream

CONFIG = """
[prompt]
templates = []
mode = "off"
[records]
drain_s = 0.05
[backends.one]
kind = "scripted"
name = "one"
otherwise = "from one: {{prompt}}"
[backends.two]
kind = "scripted"
name = "two"
otherwise = "from two: {{prompt}}"
failures = ["fail"]
[backends.stuck]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["stuck"]
[models.chat]
backend = "one"
upstream = "one"
[models.chat.mirror]
model = "{model}"
share = 1.0
{more}
"""
ADMIN = ClientKey(name="local", admin=True)


@asynccontextmanager
async def gateway(
    folder: Path, more: str = "", model: str = "two", port: int = 1
) -> AsyncIterator[tuple[Gateway, httpx.AsyncClient]]:
    (folder / "config.toml").write_text(CONFIG.format(more=more, model=model, port=port))
    made = assemble(load(folder / "config.toml"))
    await made.open()
    async with asyncio.timeout(10):
        while not made.readiness.ready:  # noqa: ASYNC110 - loading tells nobody
            await asyncio.sleep(0.01)
    transport = httpx.ASGITransport(application(made))  # type: ignore[arg-type] - Litestar's own types
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield made, client
    finally:
        await made.aclose()


async def ask(client: httpx.AsyncClient, text: str = "hello", **more: Any) -> httpx.Response:
    body = {"model": "chat", "messages": [{"role": "user", "content": text}], **more}
    return await client.post("/v1/chat/completions", json=body)


async def mirrored(gateway: Gateway, id: str) -> Any:
    assert gateway.archive is not None
    async with asyncio.timeout(10):
        while True:
            try:
                return (await gateway.archive.get(mirrored_id(id), ADMIN)).record
            except NotFound:
                await asyncio.sleep(0.05)


def results(gateway: Gateway) -> dict[str, int]:
    lines = gateway.metrics.page().decode().splitlines()
    found = [line for line in lines if line.startswith("foreword_mirrored_total{")]
    return {line.partition('result="')[2].partition('"')[0]: int(float(line.split()[-1])) for line in found}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - tasks tell nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_other_models_answer_is_recorded_and_the_client_gets_its_own(tmp_path: Path, stream: bool) -> None:
    async with gateway(tmp_path) as (made, client):
        answer = await ask(client, stream=stream)
        record = await mirrored(made, answer.headers["x-foreword-id"])

    assert "one" in answer.text
    assert "two" not in answer.text
    assert not any("mirror" in f"{name}{value}" for name, value in answer.headers.items())
    assert (record.answer.text, record.backend, record.model, record.job) == ("from two: hello", "two", "two", "mirror")
    assert record.notes[0].data["of"] == answer.headers["x-foreword-id"]
    assert record.ending == "finished"


async def test_a_mirror_that_fails_is_recorded_and_harms_nobody(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (made, client):
        answer = await ask(client, "fail")
        record = await mirrored(made, answer.headers["x-foreword-id"])

    assert answer.status_code == 200
    assert record.ending == "failed"


async def test_a_mirror_that_refuses_has_not_answered(tmp_path: Path) -> None:
    upstream = Upstream()
    port = await upstream.start()
    upstream.play(Script(400, pieces=[b'{"error":{"message":"no"}}']))
    try:
        async with gateway(tmp_path, model="stuck", port=port) as (made, client):
            answer = await ask(client)
            record = await mirrored(made, answer.headers["x-foreword-id"])
            assert results(made) == {"failed": 1}
    finally:
        await upstream.stop()
    assert (answer.status_code, record.status) == (200, 400)


async def test_a_mirror_that_hangs_delays_nobody_and_is_bounded(tmp_path: Path) -> None:
    block = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await block.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with gateway(tmp_path, "at_once = 2\ntimeout_s = 60.0", "stuck", port) as (made, client):
        began = time.monotonic()
        statuses = {(await ask(client)).status_code for _ in range(10)}
        took_s = time.monotonic() - began
        assert (statuses, results(made)) == ({200}, {"busy": 8})
        closing = time.monotonic()
    block.set()
    server.close()

    assert took_s < 2.0
    assert time.monotonic() - closing < 3.0  # what hangs does not keep the gateway from closing


async def test_the_budget_ends_the_mirror_and_no_request(tmp_path: Path) -> None:
    async with gateway(tmp_path, "requests_per_minute = 3") as (made, client):
        for _ in range(6):
            assert (await ask(client)).status_code == 200
            await asyncio.sleep(0.02)
        await until(lambda: sum(results(made).values()) == 6)
        assert results(made) == {"answered": 3, "budget": 3}


async def test_under_load_nothing_is_mirrored(tmp_path: Path) -> None:
    async with gateway(tmp_path, "off_above = 2") as (made, client):
        made.in_flight += 5
        assert (await ask(client)).status_code == 200
        made.in_flight -= 5
        assert results(made) == {"load": 1}


async def test_a_request_that_failed_is_not_mirrored(tmp_path: Path) -> None:
    async with gateway(tmp_path) as (made, client):
        refused = await client.post("/v1/chat/completions", json={"model": "chat", "messages": "no"})
        assert refused.status_code == 400
        assert results(made) == {}


@pytest.mark.parametrize(
    ("ask", "can"),
    [
        (Ask(Endpoint.CHAT, "m", b"{}"), True),
        (Ask(Endpoint.CHAT, "m", b"{}", has_tools=True), True),
        (Ask(Endpoint.RESPONSES, "m", b"{}", has_tools=True), False),
        (Ask(Endpoint.MESSAGES, "m", b"{}", has_tools=True), False),
        (Ask(Endpoint.CHAT, "m", b'{"store": true}'), False),
        (Ask(Endpoint.RESPONSES, "m", b"{}", previous="r"), False),
        (Ask(Endpoint.EMBEDDING, "m", b"{}"), False),
    ],
)
def test_only_what_cannot_act_twice_is_mirrored(ask: Ask, can: bool) -> None:
    assert is_repeatable(Exchange("x", ask)) is can


def test_mistakes_in_a_mirror_are_told(tmp_path: Path) -> None:
    text = CONFIG.format(more="shar = 0.1", model="nobody", port=1)
    (tmp_path / "config.toml").write_text(text.replace("drain_s = 0.05", 'policy = "none"'))
    settings, problems = read_file(tmp_path / "config.toml")
    assert settings is not None
    told = "\n".join(str(problem) for problem in problems)
    assert "[models.chat] mirror shar: unknown key\n    Did you mean 'share'?" in told
    (tmp_path / "config.toml").write_text(text.replace("shar = ", "# ").replace("drain_s = 0.05", 'policy = "none"'))
    settings, _ = read_file(tmp_path / "config.toml")
    assert settings is not None
    told = "\n".join(str(problem) for problem in problems_of(settings))
    assert "[models.chat] mirror model: no model 'nobody'" in told
    assert '[models.chat] mirror: has no effect with [records] policy = "none"' in told
