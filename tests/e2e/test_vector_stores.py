"""Files and vector stores through the stock `openai` client: a real gateway, a real embedder, two keys."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

CONFIG = """
[prompt]
templates = []
[records]
policy = "none"
[context]
max_file_mb = 1
budget_ms = 60000
[embedder]
kind = "sentence"
[store]
kind = "exact"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:9/v1" # where nothing listens
models = ["*"]
[routing]
default = "m"
[keys.alice]
secret = "alice-key"
[keys.bob]
secret = "bob-key"
"""
LEAVE = (
    b"# Leave\n\n## Annual\n\nEvery employee has fifteen days of paid annual leave.\n\n## Sick\n\nCall before nine.\n"
)
MEALS = "# 用餐\n\n食堂中午十二点开门，下午两点关门。\n".encode()


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    config = CONFIG.replace("http://127.0.0.1:9/", f"http://127.0.0.1:{upstream.port}/")
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), config)
    try:
        process.wait("/health/live")
        deadline = time.monotonic() + 120
        while httpx.get(process.url + "/health/ready").json()["parts"].get("embedder") != "ready":
            assert time.monotonic() < deadline, process.log.read_text("utf-8")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()


@pytest.mark.parametrize("limit", ["²", "0", "-1", "1.5", "9" * 5000, ""])
def test_a_limit_that_is_no_number_is_refused(gateway: GatewayProcess, limit: str) -> None:
    headers = {"authorization": "Bearer alice-key"}

    answer = httpx.get(gateway.url + "/v1/vector_stores", params={"limit": limit}, headers=headers)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")


@pytest.fixture(scope="module")
def alice(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.url + "/v1", api_key="alice-key", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def bob(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.url + "/v1", api_key="bob-key", max_retries=0) as client:
        yield client


def upload(client: OpenAI, name: str, content: bytes) -> str:
    return client.files.create(file=(name, content), purpose="assistants").id


@pytest.fixture(scope="module")
def store(alice: OpenAI) -> str:
    """A store of two files, of which one has attributes."""
    made = alice.vector_stores.create(name="handbook", metadata={"team": "hr"})
    leave = alice.vector_stores.files.create_and_poll(
        upload(alice, "leave.md", LEAVE), vector_store_id=made.id, attributes={"year": 2026, "public": True}
    )
    meals = alice.vector_stores.files.create_and_poll(upload(alice, "用餐.md", MEALS), vector_store_id=made.id)
    assert (leave.status, meals.status) == ("completed", "completed"), (leave.last_error, meals.last_error)
    return made.id


def names(page: Any) -> list[str]:
    return [found.filename for found in page.data]


def test_a_file_comes_back_as_it_went_in_and_is_listed_until_it_is_deleted(alice: OpenAI) -> None:
    made = alice.files.create(file=("folder/notes.txt", b"Some notes."), purpose="user_data")

    assert (made.filename, made.bytes, made.purpose, made.object) == ("notes.txt", 11, "user_data", "file")
    assert alice.files.retrieve(made.id) == made
    assert alice.files.content(made.id).read() == b"Some notes."
    assert made.id in [file.id for file in alice.files.list(purpose="user_data")]
    assert alice.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        alice.files.retrieve(made.id)


def test_what_cannot_be_taken_is_refused_in_openais_words(alice: OpenAI, gateway: GatewayProcess) -> None:
    with pytest.raises(openai.BadRequestError, match="Invalid value for 'purpose'"):
        alice.files.create(file=("a.txt", b"x"), purpose="nonsense")  # type: ignore[arg-type]
    with pytest.raises(openai.APIStatusError, match="larger than the 1 MB") as refusal:
        alice.files.create(file=("large.txt", b"x" * 2**20 + b"x"), purpose="assistants")
    assert refusal.value.status_code == 413
    with pytest.raises(openai.BadRequestError, match="Missing required parameter: 'file'"):
        alice.post("/files", body={"purpose": "assistants"}, cast_to=object, files={"other": b"x"}, options={
            "headers": {"content-type": "multipart/form-data"}
        })  # fmt: skip
    assert list((gateway.folder / "data" / "files").glob("*.part")) == []


def test_a_store_is_described_listed_and_changed(alice: OpenAI, store: str) -> None:
    found = alice.vector_stores.retrieve(store)

    assert (found.name, found.status, found.metadata) == ("handbook", "completed", {"team": "hr"})
    assert (found.file_counts.completed, found.file_counts.total) == (2, 2)
    assert found.usage_bytes == len(LEAVE) + len(MEALS)
    assert store in [one.id for one in alice.vector_stores.list()]

    changed = alice.vector_stores.update(store, expires_after={"anchor": "last_active_at", "days": 7})

    assert changed.name == "handbook"
    assert changed.expires_at == (changed.last_active_at or 0) + 7 * 86400
    assert alice.vector_stores.update(store, expires_after=None).expires_at is None


def test_a_search_finds_by_meaning_by_words_and_in_chinese(alice: OpenAI, store: str) -> None:
    (best, *_) = alice.vector_stores.search(store, query="How long can I be on paid vacation?").data

    assert (best.filename, best.attributes) == ("leave.md", {"year": 2026.0, "public": True})
    assert "fifteen days" in best.content[0].text
    assert 0 < best.score <= 1
    assert names(alice.vector_stores.search(store, query="食堂几点关门？"))[0] == "用餐.md"
    assert len(alice.vector_stores.search(store, query="leave", max_num_results=1).data) == 1
    assert alice.vector_stores.search(store, query="leave", ranking_options={"score_threshold": 1.0}).data == []
    assert "leave.md" in names(alice.vector_stores.search(store, query=["paid leave", "食堂"]))


def test_a_query_that_the_store_says_nothing_about_finds_nothing_unless_a_threshold_is_named(
    alice: OpenAI, store: str
) -> None:
    foreign = "Who painted the ceiling of the Sistine Chapel?"

    assert alice.vector_stores.search(store, query=foreign).data == []
    assert alice.vector_stores.search(store, query=foreign, ranking_options={"score_threshold": 0.0}).data


def test_a_whole_number_stays_one(gateway: GatewayProcess, store: str) -> None:
    headers = {"authorization": "Bearer alice-key"}
    listed = httpx.get(f"{gateway.url}/v1/vector_stores/{store}/files", headers=headers)

    assert '"year":2026,' in listed.text.replace(" ", "")


def test_an_expired_store_is_shown_as_such_and_cannot_be_used(gateway: GatewayProcess, alice: OpenAI) -> None:
    made = alice.vector_stores.create(name="old", expires_after={"anchor": "last_active_at", "days": 1})
    with closing(sqlite3.connect(gateway.folder / "data" / "catalog.sqlite3")) as database, database:
        database.execute("UPDATE collections SET active = active - 200000 WHERE id = ?", (made.id,))

    assert alice.vector_stores.retrieve(made.id).status == "expired"
    assert "expired" in {one.status for one in alice.vector_stores.list() if one.id == made.id}
    with pytest.raises(openai.BadRequestError, match="has expired") as refusal:
        alice.vector_stores.search(made.id, query="leave")
    assert refusal.value.code == "vector_store_expired"
    assert alice.vector_stores.delete(made.id).deleted


def test_a_search_keeps_to_the_filter(alice: OpenAI, store: str) -> None:
    public = alice.vector_stores.search(
        store,
        query="食堂",
        filters={"key": "public", "type": "eq", "value": True},
        ranking_options={"score_threshold": 0.0},
    )
    both = alice.vector_stores.search(
        store,
        query="食堂",
        ranking_options={"score_threshold": 0.0},
        filters={"type": "or", "filters": [
            {"key": "year", "type": "gte", "value": 2027}, {"key": "public", "type": "ne", "value": True},
        ]},
    )  # fmt: skip

    assert set(names(public)) == {"leave.md"}
    assert set(names(both)) == {"用餐.md"}
    with pytest.raises(openai.BadRequestError, match=r"Invalid 'filters\.type': 'like'"):
        alice.vector_stores.search(store, query="x", filters={"key": "a", "type": "like", "value": 1})  # type: ignore[typeddict-item]


def test_another_key_sees_nothing_of_it(alice: OpenAI, bob: OpenAI, store: str) -> None:
    (file, *_) = alice.vector_stores.files.list(store).data

    assert bob.vector_stores.list().data == []
    assert bob.files.list().data == []
    for probe in (
        lambda: bob.vector_stores.retrieve(store),
        lambda: bob.vector_stores.search(store, query="leave"),
        lambda: bob.vector_stores.delete(store),
        lambda: bob.vector_stores.files.list(store),
        lambda: bob.vector_stores.files.retrieve(file.id, vector_store_id=store),
        lambda: bob.vector_stores.files.content(file.id, vector_store_id=store),
        lambda: bob.files.content(file.id),
        lambda: bob.files.delete(file.id),
        lambda: bob.vector_stores.create(file_ids=[file.id]),
    ):
        with pytest.raises(openai.NotFoundError):
            probe()


def test_a_file_in_a_store_can_be_read_changed_and_taken_out(alice: OpenAI) -> None:
    store = alice.vector_stores.create(name="short-lived").id
    file = upload(alice, "leave.md", LEAVE)
    alice.vector_stores.files.create_and_poll(file, vector_store_id=store)

    text = "".join(part.text or "" for part in alice.vector_stores.files.content(file, vector_store_id=store))
    assert "fifteen days" in text
    changed = alice.vector_stores.files.update(file, vector_store_id=store, attributes={"team": "hr"})
    assert changed.attributes == {"team": "hr"}
    found = alice.vector_stores.search(store, query="leave", filters={"key": "team", "type": "eq", "value": "hr"})
    assert set(names(found)) == {"leave.md"}

    assert alice.vector_stores.files.delete(file, vector_store_id=store).deleted
    assert alice.vector_stores.search(store, query="leave").data == []
    assert alice.files.retrieve(file).id == file
    assert alice.vector_stores.delete(store).deleted
    with pytest.raises(openai.NotFoundError, match="No vector store found"):
        alice.vector_stores.retrieve(store)


def test_a_batch_takes_what_it_can_and_says_what_failed(alice: OpenAI) -> None:
    store = alice.vector_stores.create().id
    good, broken = upload(alice, "leave.md", LEAVE), upload(alice, "broken.pdf", b"%PDF-1.4 broken")

    batch = alice.vector_stores.file_batches.create_and_poll(store, file_ids=[good, broken])

    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 1, 1)
    (failed,) = alice.vector_stores.file_batches.list_files(batch.id, vector_store_id=store, filter="failed").data
    assert failed.id == broken
    assert failed.last_error is not None
    assert failed.last_error.code == "invalid_file"
    assert failed.last_error.message.startswith("broken.pdf: cannot be read as .pdf")


def test_a_deleted_file_leaves_every_store(alice: OpenAI) -> None:
    store = alice.vector_stores.create(file_ids=[]).id
    file = upload(alice, "leave.md", LEAVE)
    alice.vector_stores.files.create_and_poll(file, vector_store_id=store)

    alice.files.delete(file)

    assert alice.vector_stores.files.list(store).data == []
    assert alice.vector_stores.search(store, query="annual leave").data == []


def test_static_chunking_is_as_long_as_asked_even_beyond_what_the_embedder_reads(alice: OpenAI) -> None:
    store = alice.vector_stores.create().id
    text = " ".join(f"Rule {number} says that room {number} is for team {number}." for number in range(120)).encode()
    sizes = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}

    file = alice.vector_stores.files.create_and_poll(
        upload(alice, "rules.txt", text),
        vector_store_id=store,
        chunking_strategy={"type": "static", "static": sizes},  # type: ignore[typeddict-item]
    )

    assert file.chunking_strategy is not None
    assert file.chunking_strategy.to_dict()["static"] == sizes
    parts = [part.text or "" for part in alice.vector_stores.files.content(file.id, vector_store_id=store)]
    assert max(len(part) for part in parts) > 2000
    assert "Rule 100 says" in alice.vector_stores.search(store, query="room 100").data[0].content[0].text
    with pytest.raises(openai.BadRequestError, match="must not exceed half"):
        alice.vector_stores.files.create(
            store,
            file_id=file.id,
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 401},
            },
        )


def test_a_locked_catalog_is_a_503_within_two_seconds_and_leaves_nothing(
    alice: OpenAI, store: str, gateway: GatewayProcess
) -> None:
    folder = gateway.folder / "data"
    before = sorted(path.name for path in (folder / "files").iterdir())
    writes: tuple[Callable[[], object], ...] = (
        lambda: upload(alice, "leave.md", LEAVE),
        lambda: alice.vector_stores.create(name="locked"),
        lambda: alice.vector_stores.update(store, name="locked"),
        lambda: alice.files.delete(before[0]),
    )
    with closing(sqlite3.connect(folder / "catalog.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for write in writes:
            began = time.monotonic()
            with pytest.raises(openai.APIStatusError, match="cannot be used: their database is locked") as refusal:
                write()
            assert (refusal.value.status_code, refusal.value.response.headers["retry-after"]) == (503, "2")
            assert time.monotonic() - began < 2.5
            assert str(folder) not in refusal.value.message
        assert alice.vector_stores.search(store, query="leave").data, "searches need no write"

    assert sorted(path.name for path in (folder / "files").iterdir()) == before
    assert alice.files.retrieve(before[0]).id == before[0]
    assert [one.name for one in alice.vector_stores.list() if one.name == "locked"] == []


def test_lists_come_in_pages(alice: OpenAI) -> None:
    made = [alice.vector_stores.create(name=f"page {number}").id for number in range(3)]

    first = alice.vector_stores.list(limit=2)
    second = alice.vector_stores.list(limit=2, after=first.data[-1].id)

    assert [one.id for one in first.data] == [made[2], made[1]]
    assert second.data[0].id == made[0]
    assert first.has_more is True
    for id in made:
        alice.vector_stores.delete(id)


def test_a_store_is_a_collection_that_requests_can_name(gateway: GatewayProcess, store: str) -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "How many days of annual leave does an employee have?"}],
        "foreword": {"collections": [store]},
    }

    def ask(key: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.post(gateway.url + "/v1/foreword/preview", json=body, headers=headers, timeout=60)

    assert "[1] leave.md, Leave > Annual" in ask("alice-key").text
    assert ask("bob-key").status_code == 404


def test_what_an_answer_cites_is_held_against_its_sources(
    alice: OpenAI, store: str, upstream: UpstreamInThread
) -> None:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Fifteen days [1], says [9]."}}]}
    event = {"choices": [{"index": 0, "delta": {"content": "Fifteen days [1], says [9]."}}]}
    stream = b"data: " + json.dumps(event).encode() + b"\n\n", b"data: [DONE]\n\n"
    streamed = Script(headers=[("content-type", "text/event-stream")], pieces=list(stream), framing="chunked")
    upstream.double.play(Script(pieces=[json.dumps(body).encode()]), streamed)
    asked: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "How many days of annual leave does an employee have?"}],
        "extra_body": {"foreword": {"collections": [store]}},
    }

    told = alice.chat.completions.create(**asked).to_dict()["foreword"]
    last = [chunk.to_dict() for chunk in alice.chat.completions.create(stream=True, **asked)][-1]["foreword"]

    assert isinstance(told, dict) and isinstance(last, dict)
    assert told["sources"] == last["sources"] == {"cited": [1], "unknown": [9]}
    assert told["citations"][0]["source"] == "leave.md"


def test_what_a_gateway_was_at_when_it_was_killed_it_does_after_its_next_start(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path, CONFIG)
    try:
        process.wait("/health/live")
        with OpenAI(base_url=process.url + "/v1", api_key="alice-key", max_retries=0) as client:
            text = b"".join(b"Line %d is about subject %d.\n\n" % (number, number) for number in range(800))
            store = client.vector_stores.create(file_ids=[upload(client, "long.txt", text)])
            assert store.status == "in_progress"
    finally:
        process.kill()
    process = GatewayProcess(tmp_path, CONFIG)
    try:
        process.wait("/health/live")
        with OpenAI(base_url=process.url + "/v1", api_key="alice-key", max_retries=0) as client:
            deadline = time.monotonic() + 300
            while client.vector_stores.retrieve(store.id).status == "in_progress":
                assert time.monotonic() < deadline
                time.sleep(0.5)
            assert client.vector_stores.retrieve(store.id).file_counts.completed == 1
    finally:
        process.kill()
