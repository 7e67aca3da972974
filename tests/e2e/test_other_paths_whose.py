"""One key's objects at a backend stay hidden, however another key packs its request and the backend its answer.

The backend is a stub of an OpenAI-compatible server.
"""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script
from tests.e2e.test_other_paths import CONFIG, JSON, call, play

ID = "file-ofMine0001"


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("whose"), CONFIG.format(port=upstream.port)) as process:
        play(upstream, {"id": ID})
        assert call(process, "POST", "/v1/uploads", json={}).status_code == 200
        yield process


REFERENCE = json.dumps({"input_file_id": ID}).encode()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json", "content-encoding": "gzip"}, gzip.compress(REFERENCE, mtime=0)),
        ({"content-encoding": "gzip"}, gzip.compress(REFERENCE, mtime=0)),
        ({"content-type": "text/plain"}, REFERENCE),
        ({"content-type": "text/plain"}, REFERENCE.decode().encode("utf-16")),
        ({"content-type": "application/octet-stream"}, REFERENCE),
        ({"content-type": "multipart/form-data"}, REFERENCE),
        ({"content-type": "application/x-www-form-urlencoded"}, REFERENCE),
        ({"content-type": "application/x-www-form-urlencoded"}, urlencode({"input_file_id": ID}).encode()),
    ],
)
def test_a_reference_is_found_however_the_body_is_packed(
    gateway: GatewayProcess, upstream: UpstreamInThread, headers: dict[str, str], body: bytes
) -> None:
    play(upstream, {"id": "batch_stolen1"})
    answer = call(gateway, "POST", "/v1/batches", "other", content=body, headers=headers)
    assert answer.status_code in (400, 404, 415), answer.text
    assert upstream.double.received == []


def test_two_content_types_are_refused(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {})
    types = [("content-type", "application/json"), ("content-type", "application/octet-stream")]
    headers = [("authorization", "Bearer sk-other-123"), *types]
    assert httpx.post(f"{gateway.url}/v1/batches", content=REFERENCE, headers=headers).status_code == 400
    assert upstream.double.received == []


def test_the_owner_packs_a_request_as_it_likes(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, *[{"id": "batch_packed01"}] * 3)
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    body = gzip.compress(REFERENCE, mtime=0)
    assert call(gateway, "POST", "/v1/batches", content=body, headers=packed).status_code == 200
    assert upstream.double.received[-1].body == REFERENCE
    binary = {"content-type": "application/octet-stream"}
    assert call(gateway, "POST", f"/v1/uploads/{ID}/parts", content=b"\xff\x00", headers=binary).status_code == 200
    assert upstream.double.received[-1].body == b"\xff\x00"
    assert call(gateway, "POST", f"/v1/uploads/{ID}/complete").status_code == 200


def test_an_id_of_any_form_is_known_again(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    id = "8F0C2A6e-1111-4222-8333-444455556666"
    play(upstream, {"id": id})
    assert call(gateway, "POST", "/v1/batches", json={}).status_code == 200
    for field in ("file_id", "input_files", "training_files"):
        assert call(gateway, "POST", "/v1/batches", "other", json={field: [id]}).status_code == 404
    play(upstream, {"id": "batch_word"})
    assert call(gateway, "POST", "/v1/batches", "other", json={"file": "any words"}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/audio/voices", "/v1/things"])
def test_a_voice_and_an_id_of_letters_are_a_keys_own(
    gateway: GatewayProcess, upstream: UpstreamInThread, path: str
) -> None:
    id = "voicex" if "voices" in path else "onlyletters"
    play(upstream, {"id": id}, {"id": id}, {"id": id}, {"data": [{"id": id}], "has_more": False})
    assert call(gateway, "POST", path, json={"name": "mine"}).status_code == 200
    assert call(gateway, "GET", f"{path}/{id}").status_code == 200
    assert call(gateway, "GET", f"{path}/{id}", "other").status_code == 404
    assert call(gateway, "DELETE", f"{path}/{id}", "other").status_code == 404
    assert len(upstream.double.received) == 2
    assert call(gateway, "GET", f"{path}/{id}", "root").status_code == 200
    assert call(gateway, "GET", path, "other").json()["data"] == []


def test_a_call_belongs_to_the_key_that_began_it(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    headers = [("content-type", "application/sdp"), ("location", "/v1/realtime/calls/rtc_u1")]
    upstream.double.play(Script(201, headers, [b"v=0"]), Script(pieces=[b"{}"]))
    answer = call(gateway, "POST", "/v1/realtime/calls?model=gpt-4o", content=b"v=0", headers=dict(headers[:1]))
    assert (answer.status_code, answer.content) == (201, b"v=0")
    assert call(gateway, "POST", "/v1/realtime/calls/rtc_u1/hangup", "other").status_code == 404
    assert call(gateway, "POST", "/v1/realtime/calls/rtc_u1/hangup").status_code == 200


def test_a_path_without_a_valid_key_asks_no_database(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    for path in (f"/v1/files/{ID}", f"/v1/uploads/{ID}", f"/v1/things/{ID}"):
        assert call(gateway, "GET", path, "wrong").status_code == 401


OWN = {"id": ID, "n": 1}
FOREIGN: dict[str, Any] = {"id": "conv_somebodys1"}


@pytest.mark.parametrize(
    ("listed", "shown"),
    [
        ([FOREIGN, OWN], [OWN]),
        ({"conversations": [FOREIGN, OWN], "total": 2}, {"conversations": [OWN], "total": 2}),
        ({"data": {"items": [FOREIGN, OWN]}}, {"data": {"items": [OWN]}}),
        ({"names": ["a"], "sizes": [{"n": 1}]}, {"names": ["a"], "sizes": [{"n": 1}]}),
    ],
)
def test_a_list_of_any_form_shows_own_objects(
    gateway: GatewayProcess, upstream: UpstreamInThread, listed: Any, shown: Any
) -> None:
    play(upstream, listed, listed, listed)
    assert call(gateway, "GET", "/v1/conversations").json() == shown
    assert "somebodys1" not in call(gateway, "GET", "/v1/conversations", "other").text
    assert call(gateway, "GET", "/v1/conversations", "root").json() == listed


def test_a_part_of_a_list_is_not_shown(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(206, JSON, [b'{"data":[{"id":"conv_somebodys1"},{"id"']))
    answer = call(gateway, "GET", "/v1/conversations", "other", headers={"range": "bytes=0-40"})
    assert answer.status_code == 502
    assert "somebodys1" not in answer.text


@pytest.mark.parametrize("limit", ["%C2%B2", "9" * 5000, "-1", "0", ""])
def test_a_strange_limit_is_the_backends_business(
    gateway: GatewayProcess, upstream: UpstreamInThread, limit: str
) -> None:
    play(upstream, {"data": [FOREIGN], "has_more": False})
    answer = call(gateway, "GET", f"/v1/conversations?limit={limit}")
    assert (answer.status_code, answer.json()["data"]) == (200, [])


def test_a_further_page_that_fails_frees_its_connection(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    for _ in range(6):  # more than the connections that the backend may have
        first = Script(pieces=[b'{"data":[{"id":"conv_somebodys1"}],"has_more":true}'])
        upstream.double.play(first, Script(429, JSON, [b"{}"]))
        assert call(gateway, "GET", "/v1/conversations").status_code == 200
