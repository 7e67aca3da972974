"""Batches that the gateway executes itself, by the official client, in front of a scripted model."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from gateway.records.engine import engine_for, upgraded
from gateway.records.locations import database_url
from gateway.records.object_owners import ObjectOwner, ObjectOwners
from gateway.settings.read import load
from tests.doubles.process import GatewayProcess

CONFIG = """
[prompt]
templates = []
mode = "off"
[records]
drain_s = 0.2
[batches]
parallel = 1
max_lines = 40
[embedder]
kind = "sentence"
[store]
kind = "exact"
[backends.fake]
kind = "scripted"
name = "fake"
word_ms = 20
answers = { "capital" = "Paris" }
[keys.alice]
secret = "alice-key"
models = ["fake"]
[keys.bob]
secret = "bob-key"
"""
SLOW = "one two three four five six seven eight nine ten"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[GatewayProcess]:
    process = GatewayProcess(folder, CONFIG).wait("/health/live")
    yield process
    process.stop()


def client_of(gateway: GatewayProcess, key: str = "alice") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=f"{key}-key", max_retries=0)


def lines(*texts: str, model: str = "fake") -> list[dict[str, Any]]:
    return [
        {
            "custom_id": f"line-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": text}]},
        }
        for number, text in enumerate(texts)
    ]


def begin(client: openai.OpenAI, requests: list[dict[str, Any]] | bytes, **more: Any) -> Any:
    content = requests if isinstance(requests, bytes) else "\n".join(map(json.dumps, requests)).encode()
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    made: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return client.batches.create(input_file_id=file.id, **made)


def end(client: openai.OpenAI, id: str) -> Any:
    for _ in range(300):
        batch = client.batches.retrieve(id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        time.sleep(0.1)
    raise AssertionError(batch)


def results(client: openai.OpenAI, file: str | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in client.files.content(file).text.splitlines()] if file else []


def test_a_batch_answers_each_line_and_tells_failures_apart(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        requests = [*lines("The capital?", "b"), *lines("c", "d", "e", model="gpt-9")[2:]]
        batch = begin(client, requests, metadata={"of": "me"})
        assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"of": "me"})
        batch = end(client, batch.id)
        good, bad = results(client, batch.output_file_id), results(client, batch.error_file_id)
        exchange = httpx.get(
            f"{gateway.url}/v1/foreword/exchanges/{good[0]['response']['request_id']}",
            headers={"authorization": "Bearer alice-key"},
        )
    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (3, 2, 1)
    assert [each["custom_id"] for each in good] == ["line-0", "line-1"]
    assert good[0]["response"]["body"]["choices"][0]["message"]["content"] == "Paris"
    assert bad[0]["custom_id"] == "line-2"
    assert bad[0]["response"]["status_code"] == 403
    assert exchange.json()["key"] == "alice"


def test_another_key_sees_neither_batch_nor_results(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client, client_of(gateway, "bob") as other:
        batch = end(client, begin(client, lines("a")).id)
        for call in (
            lambda: other.batches.retrieve(batch.id),
            lambda: other.batches.cancel(batch.id),
            lambda: other.files.content(batch.output_file_id),
            lambda: other.files.retrieve(batch.input_file_id),
            lambda: other.batches.create(
                input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
            ),
        ):
            with pytest.raises(openai.NotFoundError):
                call()
        assert other.batches.list().data == []
        assert batch.id in [each.id for each in client.batches.list()]


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"", "empty_file", None),
        (b"{", "invalid_json_line", 1),
        (b'{"custom_id": "a"}', "invalid_json_line", 1),
        (json.dumps({**lines("a")[0], "url": "/v1/embeddings"}).encode(), "mismatched_url", 1),
        (json.dumps({**lines("a")[0], "method": "GET"}).encode(), "invalid_method", 1),
        (json.dumps({**lines("a")[0], "body": {"stream": True}}).encode(), "invalid_request", 1),
        (b"\n".join([json.dumps(lines("a")[0]).encode()] * 2), "duplicate_custom_id", 2),
        ("\n".join(map(json.dumps, lines(*"a" * 41))).encode(), "too_many_tasks", 41),
    ],
)
def test_a_wrong_file_fails_before_any_line_is_executed(
    gateway: GatewayProcess, content: bytes, code: str, line: int | None
) -> None:
    with client_of(gateway) as client:
        batch = end(client, begin(client, content).id)
    assert batch.status == "failed"
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == (code, line)


def test_wrong_requests_are_refused(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        for more in ({"endpoint": "/v1/nothing"}, {"completion_window": "1h"}, {"metadata": {"a": "b" * 600}}):
            with pytest.raises(openai.BadRequestError):
                begin(client, lines("a"), **more)
        file = client.files.create(file=("a.txt", b"a"), purpose="assistants")
        with pytest.raises(openai.BadRequestError, match="purpose"):
            client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def test_a_cancelled_batch_keeps_its_results(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        batch = begin(client, lines(*[SLOW] * 30))
        while not (counts := client.batches.retrieve(batch.id).request_counts) or not counts.completed:
            time.sleep(0.05)
        client.batches.cancel(batch.id)
        batch = end(client, batch.id)
        good, bad = results(client, batch.output_file_id), results(client, batch.error_file_id)
        with pytest.raises(openai.BadRequestError):
            client.batches.cancel(batch.id)
    assert batch.status == "cancelled"
    assert good
    assert len(good) + len(bad) == 30
    assert {each["error"]["code"] for each in bad} == {"batch_cancelled"}


def test_a_wrong_file_whose_batch_is_cancelled_unread_holds_nobody_up(gateway: GatewayProcess) -> None:
    with client_of(gateway) as client:
        slow = begin(client, lines(*[SLOW] * 8))
        unread = begin(client, b"{")
        client.batches.cancel(unread.id)
        after = begin(client, lines("a"))
        assert end(client, slow.id).status == "completed"
        assert end(client, unread.id).status == "cancelled"
        assert end(client, after.id).status == "completed"


def test_a_line_cannot_name_an_object_of_another_key(gateway: GatewayProcess) -> None:
    owners = ObjectOwners(lambda: migrated(gateway))
    asyncio.run(owners.claim(["file-ofBob00001", "conv_ofBob001"], ObjectOwner("bob", "fake")))
    theirs, own = lines("a"), lines("b")
    theirs[0]["body"]["messages"][0]["content"] = [{"type": "file", "file": {"file_id": "file-ofBob00001"}}]
    own[0]["custom_id"] = "own"
    with client_of(gateway) as client:
        batch = end(client, begin(client, [*theirs, *own]).id)
        bad = results(client, batch.error_file_id)
    assert [(each["custom_id"], each["response"]["status_code"]) for each in bad] == [("line-0", 404)]


def migrated(gateway: GatewayProcess) -> Any:
    engine = engine_for(database_url(load(gateway.config)))
    upgraded(engine)
    return engine


@pytest.mark.long
def test_a_killed_gateway_goes_on_with_the_lines_that_have_no_result(folder: Path, gateway: GatewayProcess) -> None:
    other = folder / "killed"
    other.mkdir()
    process = GatewayProcess(other, CONFIG).wait("/health/live")
    with client_of(process) as client:
        batch = begin(client, lines(*[SLOW] * 12))
        while not (counts := client.batches.retrieve(batch.id).request_counts) or counts.completed < 3:
            time.sleep(0.05)
    process.kill()
    # the lease of a killed worker runs out after 10 s
    again = GatewayProcess(other, CONFIG).wait("/health/live")
    try:
        with client_of(again) as client:
            batch = end(client, batch.id)
            good = results(client, batch.output_file_id)
    finally:
        again.stop()
    assert batch.status == "completed"
    assert sorted(each["custom_id"] for each in good) == sorted(f"line-{number}" for number in range(12))
