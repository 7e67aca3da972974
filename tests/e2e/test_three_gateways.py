"""Three gateways with one Redis, one PostgreSQL, one Chroma server and one data folder, as in `deploy/`: what an admin
changes at one reaches all, and nothing that was acknowledged is lost if one is killed.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from gateway.disk.atomic_file import write_whole
from tests.doubles.ports import free_port
from tests.doubles.process import GatewayProcess
from tests.doubles.templates import source, write

pytestmark = pytest.mark.long

LIMIT_S = 2.0 * float(os.environ.get("FOREWORD_PATIENCE", "1"))
"""How soon a change must be at every gateway. On a busy machine, processes start and answer more slowly."""
CONFIG = """
[server]
drain_notice_s = 0.1
drain_s = 5
[data]
folder = "{root}/data"
[prompt]
templates = ["{root}/templates"]
mode = "off"
[state]
kind = "redis"
url = "{redis}"
[records]
database = "{database}"
drain_s = 0.2
[backends.scripted]
kind = "scripted"
name = "m"
[keys.admin]
secret = "admin-key-of-this-test"
admin = true
[keys.limited]
secret = "limited-key-of-this-test"
requests_per_minute = 6
"""
STORE = """
[embedder]
kind = "sentence"
[store]
kind = "chroma"
url = "http://127.0.0.1:{chroma}"
"""
ADMIN = {"authorization": "Bearer admin-key-of-this-test"}
LIMITED = {"authorization": "Bearer limited-key-of-this-test"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    command = [Path(sys.executable).with_name("chroma"), "run", "--path", tmp_path_factory.mktemp("chroma")]
    options = ["--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port
    server.terminate()
    server.wait(10)


@pytest.fixture(scope="module")
def database(postgres: str) -> str:
    engine = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS three"))
        connection.execute(text("CREATE DATABASE three"))
    engine.dispose()
    return postgres.replace("/postgres?", "/three?")


@pytest.fixture(scope="module")
def config(redis_url: str, database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("shared")
    write(root / "templates", "refund", source())
    return CONFIG.format(root=root, redis=redis_url, database=database)


@contextmanager
def three(folder: Path, config: str, parts: tuple[str, ...] = ()) -> Iterator[list[GatewayProcess]]:
    """Start three gateways, and wait until they are ready or, if `parts` are named, until these parts are."""
    started = []
    for name in "abc":
        (folder / name).mkdir()
        started.append(GatewayProcess(folder / name, config))
    try:
        for gateway in started:
            gateway.wait("/health/live" if parts else "/health/ready", timeout_s=300)
        deadline = time.monotonic() + 300
        for gateway in started if parts else ():
            while any(got(gateway, "/health/ready")["parts"].get(part) != "ready" for part in parts):
                assert time.monotonic() < deadline, gateway.log.read_text("utf-8")[-2000:]
                time.sleep(0.2)
        yield started
    finally:
        for gateway in started:
            gateway.kill()


@pytest.fixture(scope="module")
def gateways(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[GatewayProcess]]:
    with three(tmp_path_factory.mktemp("gateways"), config) as started:
        yield started


def root_of(config: str) -> Path:
    return Path(config.partition('folder = "')[2].partition("/data")[0])


def reaches_all(gateways: list[GatewayProcess], is_there: Callable[[GatewayProcess], bool]) -> float:
    """Return the seconds until all gateways show the change."""
    began = time.monotonic()
    for gateway in gateways:
        while not is_there(gateway):
            assert time.monotonic() - began < 60, gateway.log.read_text("utf-8")[-2000:]
            time.sleep(0.02)
    took_s = time.monotonic() - began
    sys.stdout.write(f"at all three after {took_s:.2f} s\n")
    return took_s


def got(gateway: GatewayProcess, path: str) -> Any:
    return httpx.get(gateway.url + path, headers=ADMIN, timeout=20).json()


def test_a_prompt_pointer_reaches_all(gateways: list[GatewayProcess], config: str) -> None:
    def refund(one: GatewayProcess) -> Any:
        return got(one, "/v1/foreword/templates/refund.en").get("template", {})

    reaches_all(gateways, lambda one: refund(one).get("speaks") == 1)
    write_whole(root_of(config) / "templates" / "pointers.yaml", "refund.en: {production: 1, share: 0.2}\n")

    took_s = reaches_all(gateways, lambda one: refund(one)["pointer"] is not None)
    assert took_s < LIMIT_S


def test_a_configuration_reaches_all(gateways: list[GatewayProcess], config: str) -> None:
    changed = config + '[models.renamed]\nbackend = "scripted"\nupstream = "m"\n'
    answer = httpx.post(f"{gateways[1].url}/v1/foreword/reload", content=changed, headers=ADMIN, timeout=120)
    assert answer.status_code == 200

    def has_it(one: GatewayProcess) -> bool:
        return any(model["id"] == "renamed" for model in got(one, "/v1/models")["data"])

    took_s = reaches_all(gateways, has_it)
    assert took_s < LIMIT_S


def test_a_limit_counts_the_requests_of_all(gateways: list[GatewayProcess]) -> None:
    def ask(one: GatewayProcess) -> int:
        return httpx.post(f"{one.url}/v1/chat/completions", json=CHAT, headers=LIMITED, timeout=20).status_code

    statuses = [ask(gateways[number % 3]) for number in range(9)]
    assert statuses.count(200) == 6
    assert statuses.count(429) == 3


def test_nothing_that_was_acknowledged_is_lost_if_one_is_killed_under_load(
    gateways: list[GatewayProcess], database: str
) -> None:
    """Runs as the last one with these gateways, since it kills one.

    Clients go to the next gateway if theirs does not answer.
    """
    acknowledged: list[str] = []
    seen: dict[str, int] = {}
    over = threading.Event()

    def client(number: int) -> None:
        at = number
        while not over.is_set():
            try:
                answer = httpx.post(f"{gateways[at % 3].url}/v1/chat/completions", json=CHAT, headers=ADMIN, timeout=20)
            except httpx.HTTPError as error:
                seen[type(error).__name__] = seen.get(type(error).__name__, 0) + 1
                at += 1
                continue
            seen[str(answer.status_code)] = seen.get(str(answer.status_code), 0) + 1
            if answer.status_code == 200:
                acknowledged.append(answer.headers["x-foreword-id"])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    gateways[2].kill()
    time.sleep(2)
    over.set()
    for thread in threads:
        thread.join()

    engine = create_engine(database)
    deadline, missing = time.monotonic() + 60, set(acknowledged)
    while missing and time.monotonic() < deadline:
        time.sleep(0.5)
        with engine.connect() as connection, suppress(Exception):
            missing = set(acknowledged) - {row[0] for row in connection.execute(text("SELECT id FROM exchanges"))}
    engine.dispose()
    sys.stdout.write(f"\nclients saw {seen}; {len(acknowledged)} acknowledged, {len(missing)} missing\n")

    assert len(acknowledged) > 20
    assert not missing
    assert set(seen) <= {"200", "ConnectError", "ReadError", "RemoteProtocolError"}


def test_a_collection_and_its_documents_reach_all(config: str, chroma: int, tmp_path: Path) -> None:
    text = config.replace("/data", "/data-with-store").replace(f'"{root_of(config)}/templates"', "")
    with three(tmp_path, text + STORE.format(chroma=chroma), ("embedder", "collections")) as gateways:
        fill_and_search(gateways)


def fill_and_search(gateways: list[GatewayProcess]) -> None:
    first = gateways[0].url
    store = httpx.post(f"{first}/v1/vector_stores", json={"name": "leave"}, headers=ADMIN, timeout=60).json()["id"]
    files = {"file": ("leave.txt", b"Every employee has fifteen days of paid annual leave.")}
    file = httpx.post(f"{first}/v1/files", files=files, data={"purpose": "assistants"}, headers=ADMIN, timeout=60)
    path = f"/v1/vector_stores/{store}"
    httpx.post(f"{first}{path}/files", json={"file_id": file.json()["id"]}, headers=ADMIN, timeout=60)
    reaches_all(gateways[:1], lambda one: got(one, path)["file_counts"]["completed"] == 1)

    def finds(one: GatewayProcess) -> bool:
        body = {"query": "How many days of annual leave do employees have?"}
        answer = httpx.post(f"{one.url}{path}/search", json=body, headers=ADMIN, timeout=60)
        return answer.status_code == 200 and "fifteen days" in answer.text

    assert reaches_all(gateways, finds) < LIMIT_S
