"""The processes of a server: what clients and operators see when one dies, ends, or takes another configuration."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[server]
drain_notice_s = 0.4
drain_s = 0.6
max_connections = 500
{server}
[records]
drain_s = 0.2
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["{models}"]
"""
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
ANSWER = (
    b'{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,'
    b'"total_tokens":2}}'
)
EVENT = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o",'
    b'"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
)
STREAM = [("content-type", "text/event-stream")]


def config(upstream: UpstreamInThread, server: str = "", models: str = "gpt-4o") -> str:
    return CONFIG.format(port=upstream.port, server=server, models=models)


@pytest.fixture
def gateway(upstream: UpstreamInThread, tmp_path: Path) -> Iterator[GatewayProcess]:
    upstream.double.play(Script(pieces=[ANSWER]))
    with running(tmp_path, config(upstream)) as process:
        yield process


def ask(gateway: GatewayProcess, model: str = "gpt-4o") -> int:
    """The status of a chat request; 0 if there is no answer."""
    try:
        return httpx.post(f"{gateway.url}/v1/chat/completions", json=CHAT | {"model": model}, timeout=10).status_code
    except httpx.HTTPError:
        return 0


def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def health(gateway: GatewayProcess, path: str) -> tuple[int, dict[str, object], float]:
    """Status, body and seconds."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.health_port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body, time.monotonic() - began


def test_health_and_metrics_have_a_port_of_their_own(gateway: GatewayProcess) -> None:
    assert ask(gateway) == 200
    assert health(gateway, "/health/live")[:2] == (200, {"status": "alive"})
    until(lambda: health(gateway, "/health/ready")[0] == 200)  # it hears of the worker twice a second
    assert health(gateway, "/health/ready")[:2] == (200, httpx.get(gateway.url + "/health/ready").json())
    page = httpx.get(gateway.health_url + "/metrics").text
    assert re.search(r'^foreword_requests_total\{.*ending="finished".*\} 1\.0$', page, re.MULTILINE)
    assert 'foreword_worker_up{worker="1"} 1' in page
    assert httpx.get(gateway.health_url + "/v1/models").status_code == 404
    assert httpx.get(gateway.health_url + "/health/live", headers={"host": "evil.example"}).status_code == 403


def test_many_silent_connections_stop_nobody(gateway: GatewayProcess) -> None:
    """More than the gateway holds; half of them have sent half a head."""
    silent = []
    for number in range(1030):
        connection = socket.create_connection(("127.0.0.1", gateway.port))
        if number % 2:
            connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        silent.append(connection)

    status, _, took_s = health(gateway, "/health/live")
    answers = [ask(gateway) for _ in range(3)]
    for connection in silent:
        connection.close()

    assert (status, answers) == (200, [200, 200, 200])
    assert took_s < 0.5


def test_a_worker_that_dies_is_replaced_and_the_port_stays_open(gateway: GatewayProcess) -> None:
    (before,) = gateway.workers()
    os.kill(before, signal.SIGKILL)
    during = ask(gateway)
    until(lambda: gateway.workers() not in ([], [before]))

    assert during == 200
    assert ask(gateway) == 200
    assert "was ended by signal 9; starting a replacement" in gateway.log.read_text()
    assert "foreword_worker_restarts_total 1" in httpx.get(gateway.health_url + "/metrics").text


def test_a_worker_that_dies_twice_within_five_seconds_ends_the_server(gateway: GatewayProcess) -> None:
    for _ in range(2):
        until(lambda: len(gateway.workers()) == 1)
        os.kill(gateway.workers()[0], signal.SIGKILL)
        time.sleep(0.3)

    assert gateway.process.wait(10) == 1
    assert "twice within 5 s: the server ends" in gateway.log.read_text()


def test_sighup_takes_a_new_configuration_and_no_request_fails(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    statuses: list[int] = []
    over = threading.Event()

    def keep_asking() -> None:
        while not over.is_set():
            statuses.append(ask(gateway))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    assert ask(gateway, "other") == 404
    gateway.config.write_text(config(upstream, models="*"), "utf-8")
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: ask(gateway, "other") == 200)
    over.set()
    asking.join()

    assert set(statuses) == {200}
    assert len(statuses) > 3


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("[sever]\n", "unknown table"),
        ("[data]\nfolder = [", "is not valid TOML"),
        ('[data]\nfolder = "config.toml/x"\n', "config.toml is a file"),
    ],
)
def test_sighup_with_a_broken_configuration_changes_nothing_and_says_why(
    gateway: GatewayProcess, upstream: UpstreamInThread, broken: str, said: str
) -> None:
    gateway.config.write_text(config(upstream, models="*") + broken, "utf-8")
    gateway.process.send_signal(signal.SIGHUP)
    until(lambda: "the old one stays in use" in gateway.log.read_text())

    assert said in gateway.log.read_text()
    assert (ask(gateway), ask(gateway, "other")) == (200, 404)


def test_a_worker_that_dies_after_a_broken_change_comes_back_with_what_was_served(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    gateway.config.write_text("[sever]\n", "utf-8")
    (before,) = gateway.workers()
    os.kill(before, signal.SIGKILL)

    assert ask(gateway) == 200


def test_a_gateway_that_ends_is_unready_first_and_cuts_streams_with_an_event_and_a_record(
    upstream: UpstreamInThread, tmp_path: Path
) -> None:
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[EVENT], end="stall"))
    text = config(upstream).replace("drain_notice_s = 0.4", "drain_notice_s = 2.0")
    with (
        running(tmp_path, text) as gateway,
        httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=CHAT | {"stream": True}, timeout=20) as answer,
    ):
        pieces = answer.iter_raw()
        first = next(pieces)
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: health(gateway, "/health/ready")[0] == 503)
        unready = httpx.get(gateway.url + "/health/ready")
        rest = b"".join(pieces)

    assert first.startswith(b'data: {"id"')
    assert (unready.status_code, unready.json()["status"]) == (503, "draining")
    assert json.loads(rest.strip().removeprefix(b"data: "))["error"]["code"] == "server_busy"
    assert gateway.process.wait(10) == 0
    id = answer.headers["x-foreword-id"]
    upstream.double.play(Script(pieces=[ANSWER]))
    with running(gateway.folder, config(upstream)) as again:
        record = httpx.get(f"{again.url}/v1/foreword/exchanges/{id}").json()
    assert record["ending"] == "failed"


def test_an_answer_under_way_is_finished_before_the_gateway_ends(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    slow = Script(headers=STREAM, framing="chunked", pieces=[EVENT] * 40 + [b"data: [DONE]\n\n"])
    upstream.double.play(slow)
    with httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        gateway.process.send_signal(signal.SIGTERM)
        rest = b"".join(pieces)

    assert rest.endswith(b"data: [DONE]\n\n")
    assert gateway.process.wait(10) == 0


def test_a_second_signal_ends_at_once(upstream: UpstreamInThread, tmp_path: Path) -> None:
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[EVENT], end="stall"))
    text = config(upstream).replace("drain_s = 0.6", "drain_s = 60.0")
    with running(tmp_path, text) as gateway:
        url = f"{gateway.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=CHAT | {"stream": True}, timeout=20) as answer:
            next(answer.iter_raw())
            for _ in range(2):
                gateway.process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            assert gateway.process.wait(10) == 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/foreword/preview"])
def test_a_withheld_body_gets_a_408(upstream: UpstreamInThread, tmp_path: Path, path: str) -> None:
    with (
        running(tmp_path, config(upstream, "body_pause_s = 0.2")) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as connection,
    ):
        connection.send(f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\nxx".encode())
        answer = connection.recv(4096)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer


def test_a_port_that_is_no_port_is_refused_by_name(gateway: GatewayProcess) -> None:
    for option, value in (("--port", "99999"), ("--port", "0"), ("--host", "no.such.host.invalid")):
        command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(gateway.config), option, value]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == 2
        assert re.search(re.escape(value), done.stderr)
        assert "Traceback" not in done.stderr
