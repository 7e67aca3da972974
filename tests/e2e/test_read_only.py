"""Databases that the gateway may not write to: a 503 with the reason within two seconds."""

import ctypes
import os
import time
from pathlib import Path

import httpx
import pytest

from tests.doubles.process import GatewayProcess

CONFIG = """
[data]
folder = "data"
[prompt]
templates = []
mode = "off"
[records]
drain_s = 0.1
[embedder]
kind = "sentence"
[store]
kind = "exact"
[backends.up]
kind = "scripted"
name = "m"
"""
RIGHTS_OF_ROOT = (1, 2)
"""The capabilities CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, with which file modes do not count."""
PR_CAPBSET_DROP = 24
MOST_S = 2.0


def as_usual_user() -> None:
    system = ctypes.CDLL(None)
    for capability in RIGHTS_OF_ROOT:
        system.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def started(folder: Path) -> GatewayProcess:
    """A gateway that has opened its collections. It is without the rights of root, which writes to read-only files."""
    process = GatewayProcess(folder, CONFIG, before=as_usual_user if os.geteuid() == 0 else None)
    process.wait("/health/live")
    deadline = time.monotonic() + 60
    while httpx.get(process.url + "/health/ready").json()["parts"].get("collections") == "loading":
        assert time.monotonic() < deadline, process.log.read_text("utf-8")
        time.sleep(0.05)
    return process


def ask(gateway: GatewayProcess) -> httpx.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, timeout=20)


def change(gateway: GatewayProcess, name: str, exchange: str) -> httpx.Response:
    """A request that writes to the database."""
    if name == "records.db":
        feedback = {"exchange": exchange, "score": 1.0}
        return httpx.post(gateway.url + "/v1/foreword/feedback", json=feedback, timeout=20)
    return httpx.post(gateway.url + "/v1/vector_stores", json={"name": "notes"}, timeout=20)


@pytest.mark.parametrize("name", ["catalog.sqlite3", "records.db"])
def test_a_read_only_database_is_a_503_with_the_reason_and_answers_go_on(tmp_path: Path, name: str) -> None:
    first = started(tmp_path)
    exchange = ask(first).headers["x-foreword-id"]
    assert change(first, "catalog.sqlite3", exchange).status_code == 200
    first.stop()
    data = tmp_path / "data"
    for file in data.glob(f"{name}*"):
        file.chmod(0o400)

    gateway = started(tmp_path)
    try:
        change(gateway, name, exchange)  # the first one loads libraries
        began = time.monotonic()
        answer = change(gateway, name, exchange)
        took = time.monotonic() - began

        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"]
        assert took < MOST_S
        message = answer.json()["error"]["message"]
        assert "their database is read-only" in message
        assert str(tmp_path) not in message
        assert ask(gateway).status_code == 200
    finally:
        gateway.kill()


def test_a_read_only_data_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o500)
    gateway = GatewayProcess(tmp_path, CONFIG, before=as_usual_user if os.geteuid() == 0 else None)
    try:
        assert gateway.process.wait(30) == 2
        assert "[data] folder" in gateway.log.read_text("utf-8")
        assert "read-only" in gateway.log.read_text("utf-8")
    finally:
        gateway.kill()
