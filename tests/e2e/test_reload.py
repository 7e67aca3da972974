"""A new configuration over HTTP: who may send it, what is refused, and that no request is lost on the way."""

import http.client
import signal
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from gateway.disk.atomic_file import write_whole
from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script
from tests.e2e.test_serving import ANSWER, CHAT

CONFIG = """
[server]
drain_notice_s = 0.2
drain_s = 2
{server}
[records]
drain_s = 0.2
[prompt]
templates = []
[keys.admin]
sha256 = "{admin}"
admin = true
[keys.app]
sha256 = "{app}"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["{models}"]
"""


def digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def config(upstream: UpstreamInThread, models: str = "gpt-4o", server: str = "") -> str:
    return CONFIG.format(port=upstream.port, models=models, server=server, admin=digest("admin"), app=digest("app"))


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


def ask(gateway: GatewayProcess, model: str = "gpt-4o") -> int:
    body = CHAT | {"model": model}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=key("app"), timeout=10).status_code


def reload(gateway: GatewayProcess, text: str = "", name: str = "admin") -> httpx.Response:
    return httpx.post(f"{gateway.url}/v1/foreword/reload", content=text, headers=key(name), timeout=60)


@pytest.fixture(scope="module")
def shared(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    upstream.double.play(Script(pieces=[ANSWER]))
    with running(tmp_path_factory.mktemp("gateway"), config(upstream)) as process:
        yield process


@pytest.fixture
def gateway(shared: GatewayProcess, upstream: UpstreamInThread) -> GatewayProcess:
    shared.config.write_text(config(upstream), "utf-8")
    assert reload(shared).status_code == 200
    return shared


def test_a_posted_configuration_is_in_use_when_the_answer_comes(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    assert ask(gateway, "other") == 404

    answer = reload(gateway, config(upstream, models="*"))

    assert (answer.status_code, answer.json()["status"]) == (200, "in use")
    assert ask(gateway, "other") == 200
    # the file is not written, and the operator is told so
    assert gateway.config.read_text("utf-8") == config(upstream)
    reports = httpx.get(f"{gateway.url}/health/ready").json()["reports"]
    assert any("came over HTTP" in report for report in reports)


def test_an_empty_body_reads_the_file_again(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    gateway.config.write_text(config(upstream, models="*"), "utf-8")
    assert reload(gateway).status_code == 200
    assert ask(gateway, "other") == 200

    reload(gateway, config(upstream))
    assert ask(gateway, "other") == 404
    reload(gateway)
    assert ask(gateway, "other") == 200


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("[sever]\n", ["[sever]", "unknown table", "Did you mean 'server'?"]),
        ("[data]\nfolder = [", ["is not valid TOML"]),
        ("[jobs]\ncalls = " + "1" * 5000, ["is not valid TOML"]),
        ("[jobs]\ncalls = " + "[" * 5000, ["is not valid TOML"]),
        ('[models.x]\nbackend = "upp"\n', ["[models.x] backend", "no backend 'upp'", "Known: up"]),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1") + "=", ["is not valid TOML"]),
    ],
)
def test_a_bad_configuration_is_refused_with_place_and_remedy_and_the_old_one_stays(
    gateway: GatewayProcess, upstream: UpstreamInThread, broken: str, said: list[str]
) -> None:
    workers = gateway.workers()

    answer = reload(gateway, config(upstream, models="*") + broken)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "config_refused")
    assert all(words in answer.json()["error"]["message"] for words in said)
    assert set(gateway.workers()) <= set(workers)  # those of the reload before may still drain
    assert (ask(gateway), ask(gateway, "other")) == (200, 404)


def test_a_body_that_is_no_text_is_refused(gateway: GatewayProcess) -> None:
    answer = httpx.post(f"{gateway.url}/v1/foreword/reload", content=b"\xff\xfe", headers=key("admin"))
    assert (answer.status_code, "UTF-8" in answer.json()["error"]["message"]) == (400, True)


def test_only_an_admin_key_may_change_the_configuration(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    url = f"{gateway.url}/v1/foreword/reload"
    assert httpx.post(url, content=config(upstream, models="*")).status_code == 401
    assert reload(gateway, config(upstream, models="*"), "app").status_code == 403
    assert reload(gateway, "", "app").status_code == 403
    assert ask(gateway, "other") == 404


def test_a_gateway_without_keys_takes_no_configuration_from_a_request(
    upstream: UpstreamInThread, tmp_path: Path
) -> None:
    """Every user of the machine could otherwise read the environment that the gateway reads."""
    keyless = (
        config(upstream).partition("[keys.admin]")[0] + "[backends.up]" + config(upstream).partition("[backends.up]")[2]
    )
    with running(tmp_path, keyless) as process:
        url = f"{process.url}/v1/foreword/reload"
        refused = httpx.post(url, content=keyless, timeout=60)
        again = httpx.post(url, timeout=60)

    assert (refused.status_code, again.status_code) == (403, 200)


def test_what_needs_a_restart_is_said(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    answer = reload(gateway, config(upstream, server='host = "localhost"'))
    assert answer.json()["needs_restart"] == ["server.host"]
    answer = reload(gateway, config(upstream, server="workers = 2"))
    assert (answer.status_code, "needs a restart" in answer.json()["error"]["message"]) == (400, False)
    assert "[state]" in answer.json()["error"]["message"]


def test_a_reload_during_a_reload_replaces_it_and_says_so(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    first: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: first.append(reload(gateway, config(upstream, models="first"))))
    thread.start()
    time.sleep(0.3)
    second = reload(gateway, config(upstream, models="second"))
    thread.join()

    assert second.status_code == 200
    code = first[0].json().get("error", {}).get("code")
    assert (first[0].status_code, code) in ((409, "config_replaced"), (200, None))  # it may be over before the second
    assert (ask(gateway, "second"), ask(gateway, "first")) == (200, 404)


def test_reloads_that_come_at_once_and_are_refused_or_replaced_leave_a_server_that_serves(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    """Workers that start for a configuration are ended by its check, by their own failure, or by the next one."""
    broken = config(upstream) + '[models.x]\nbackend = "upp"\n'
    seen: list[int] = []

    def reload_some(number: int) -> None:
        for turn in range(4):
            text = broken if (number + turn) % 2 else config(upstream)
            seen.append(reload(gateway, text).status_code)

    threads = [threading.Thread(target=reload_some, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 12
    assert set(seen) <= {200, 400, 409}
    assert reload(gateway, config(upstream)).status_code == 200
    assert ask(gateway) == 200


def test_connections_that_stay_open_lose_nothing_in_several_reloads(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    """Half of the clients keep their connection; the others open one for each request."""
    lost: list[str] = []
    counts = [0] * 6
    over = threading.Event()

    def keep_asking(number: int) -> None:
        with httpx.Client(base_url=gateway.url, headers=key("app"), trust_env=False) as client:
            while not over.is_set():
                try:
                    status = client.post(
                        "/v1/chat/completions", json=CHAT, headers={"connection": "close"} if number % 2 else None
                    ).status_code
                except httpx.HTTPError as error:
                    lost.append(repr(error))
                    continue
                counts[number] += 1
                if status != 200:
                    lost.append(str(status))
                time.sleep(0.01 * number)

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    statuses = {
        reload(gateway, config(upstream, models=f"*{'' if number % 2 else ' '}".strip())).status_code
        for number in range(4)
    }
    over.set()
    for thread in threads:
        thread.join()

    assert (statuses, lost) == ({200}, [])
    assert min(counts) > 5


def kept_connection(gateway: GatewayProcess) -> http.client.HTTPConnection:
    """Return a connection that has had an answer and stays open.

    A worker that an earlier reload replaces closes its connections after their answers.
    """
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)

    def stays_open() -> bool:
        connection.request("GET", "/v1/models", headers=key("app"))
        assert connection.getresponse().read()
        return connection.sock is not None

    until(stays_open)
    return connection


def test_a_connection_in_use_may_send_one_more_request_to_the_old_worker(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    connection = kept_connection(gateway)
    assert reload(gateway, config(upstream)).status_code == 200

    assert connection.sock is not None, "another connection would go to the new worker, which never says close"
    ends = ""
    while ends != "close":  # the order to drain reaches the worker just after the answer to the reload
        connection.request("GET", "/v1/models", headers=key("app"))
        answer = connection.getresponse()
        assert answer.status == 200
        ends = answer.getheader("connection") or ""
        answer.read()
    connection.close()


def test_an_idle_connection_ends_soon_after_a_reload(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    connection = kept_connection(gateway)
    assert reload(gateway, config(upstream)).status_code == 200
    began = time.monotonic()

    assert connection.sock is not None
    assert connection.sock.recv(1) == b""
    assert time.monotonic() - began < 2.0
    connection.close()


def test_the_health_port_counts_what_was_taken_and_refused(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    def count(result: str) -> float:
        page = httpx.get(gateway.health_url + "/metrics").text
        name = f'foreword_reloads_total{{result="{result}"}} '
        return float(next(line for line in page.splitlines() if line.startswith(name)).removeprefix(name))

    taken, refused = count("taken"), count("refused")
    reload(gateway, config(upstream))
    reload(gateway, "[sever]\n")
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while count("taken") < taken + 2 and time.monotonic() < deadline:
        time.sleep(0.05)

    assert (count("taken"), count("refused")) == (taken + 2, refused + 1)


def test_a_slow_gateway_does_not_write_over_what_another_one_posted_since(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    posted = gateway.folder / "data" / "posted-config.toml"
    earlier, later = config(upstream, models="first"), config(upstream, models="second")
    known = gateway.log.read_text("utf-8").count("a worker starts")
    write_whole(posted, earlier)
    until(lambda: gateway.log.read_text("utf-8").count("a worker starts") > known)
    write_whole(posted, later)

    until(lambda: ask(gateway, "second") == 200)
    assert posted.read_text("utf-8") == later

    posted.write_bytes(b"\xff")
    until(lambda: "cannot be read" in gateway.log.read_text("utf-8"))
    assert ask(gateway, "second") == 200
    posted.unlink()
    until(lambda: ask(gateway) == 200)


def until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.long
def test_gateways_that_share_a_data_folder_take_each_others_configuration(
    upstream: UpstreamInThread, tmp_path: Path
) -> None:
    """One reload and one restart: the second gateway follows, also back to its file."""
    upstream.double.play(Script(pieces=[ANSWER]))
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    text = config(upstream) + f'[data]\nfolder = "{tmp_path / "shared"}"\n'

    def status_within(gateway: GatewayProcess, wanted: int, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if ask(gateway, "other") == wanted:
                return True
            time.sleep(0.05)
        return False

    with running(folders[0], text) as first, running(folders[1], text) as second:
        assert reload(first, text.replace('["gpt-4o"]', '["*"]')).status_code == 200
        assert ask(first, "other") == 200
        # 2 s on a machine of its own; a busy one starts a worker more slowly
        assert status_within(second, 200, 15)
        second.stop()
        with running(folders[1], (folders[1] / "config.toml").read_text()) as third:
            # its file was written again just now, so the operator wants the file, here and elsewhere
            assert ask(third, "other") == 404
            assert status_within(first, 404, 15)
    assert not (tmp_path / "shared" / "posted-config.toml").exists()
