"""Paths that the gateway does not answer itself, by the official client: audio, images, moderations, batches and more.

The backend is a stub of an OpenAI-compatible server.
"""

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from gateway.server.passing.paths import WORDS
from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.2
[prompt]
mode = "off"
[routing]
default = "gpt-4o"
retries = 2
aliases = {{ "our-whisper" = "whisper-1" }}
[models.renamed]
backend = "up"
upstream = "far-away-name"
[backends.fake]
kind = "scripted"
name = "fake"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-of-the-backend"
models = ["*"]
max_connections = 4
connect_timeout_s = 1
[keys.mine]
secret = "sk-mine-123"
[keys.other]
secret = "sk-other-123"
[keys.few]
secret = "sk-few-123"
models = ["whisper-1"]
[keys.root]
secret = "sk-root-123"
admin = true
"""
JSON = [("content-type", "application/json")]
SOUND = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("paths"), CONFIG.format(port=upstream.port)) as process:
        yield process


def client_of(gateway: GatewayProcess, key: str = "mine") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=f"sk-{key}-123", max_retries=0)


def call(gateway: GatewayProcess, method: str, path: str, key: str = "mine", **more: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer sk-{key}-123", **more.pop("headers", {})}
    # verify: reading certificates would take longer than the request
    return httpx.request(method, f"{gateway.url}{path}", headers=headers, verify=False, **more)


def play(upstream: UpstreamInThread, *answers: Any) -> None:
    upstream.double.play(*[Script(pieces=[json.dumps(answer).encode()]) for answer in answers])


def test_a_transcription_passes_byte_for_byte_with_the_backends_key(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    play(upstream, {"text": "Hello", "usage": {"type": "duration", "seconds": 3}})
    with client_of(gateway) as client:
        file = ("speech.wav", SOUND)
        assert client.audio.transcriptions.create(model="whisper-1", file=file).text == "Hello"
    received = upstream.double.received[-1]
    assert received.line == "POST /v1/audio/transcriptions HTTP/1.1"
    assert SOUND in received.body
    assert received.headers["authorization"] == "Bearer sk-of-the-backend"
    assert received.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert "sk-mine" not in str(received.headers)


def test_a_key_in_the_query_stays_here(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {})
    query = "a=%41&key=sk-mine-123&API-Key=x&after=sk-mine-123&b=1"
    assert call(gateway, "POST", f"/v1/moderations?{query}", json={"model": "whisper-1"}).status_code == 200
    assert upstream.double.received[-1].line == "POST /v1/moderations?a=%41&b=1 HTTP/1.1"


@pytest.mark.parametrize("model", ["our-whisper", "renamed"])
@pytest.mark.parametrize("first", ["model", "file"])
def test_a_form_names_the_backends_model_wherever_the_field_is(
    gateway: GatewayProcess, upstream: UpstreamInThread, model: str, first: str
) -> None:
    parts = [
        b'Content-Disposition: form-data; name="model"\r\n\r\n' + model.encode(),
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + SOUND * 150,
    ]
    parts = parts if first == "model" else parts[::-1]
    body = b"".join(b"--xx\r\n" + part + b"\r\n" for part in parts) + b"--xx--\r\n"
    play(upstream, {"text": ""})
    headers = {"content-type": "multipart/form-data; boundary=xx"}
    assert call(gateway, "POST", "/v1/audio/transcriptions", content=body, headers=headers).status_code == 200
    name = b"far-away-name" if model == "renamed" else b"whisper-1"
    assert upstream.double.received[-1].body == body.replace(b"\r\n\r\n" + model.encode(), b"\r\n\r\n" + name)


def test_a_form_with_two_models_is_refused(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {"text": ""})
    for fields in (["whisper-1", "gpt-9"], ["gpt-9", "whisper-1"]):
        parts = [b'--xx\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + name.encode() for name in fields]
        body = b"\r\n".join([*parts, b"--xx--\r\n"])
        headers = {"content-type": "multipart/form-data; boundary=xx"}
        answer = call(gateway, "POST", "/v1/audio/transcriptions", "few", content=body, headers=headers)
        assert answer.status_code in (400, 403), answer.text
    assert upstream.double.received == []


def test_binary_speech_comes_as_it_is(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    pieces = [SOUND[:5000], SOUND[5000:]]
    upstream.double.play(Script(headers=[("content-type", "audio/mpeg")], pieces=pieces, framing="chunked"))
    with client_of(gateway) as client:
        answer = client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
        assert answer.read() == SOUND
        assert answer.response.headers["content-type"] == "audio/mpeg"


def test_images_and_moderations_pass(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    with client_of(gateway) as client:
        play(upstream, {"created": 1, "data": [{"b64_json": "AAAA"}]})
        image = client.images.edit(model="gpt-image-1", image=io.BytesIO(SOUND), prompt="A hat")
        assert image.data is not None
        assert image.data[0].b64_json == "AAAA"
        events = [b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image"}\n\n'] * 2
        upstream.double.play(Script(headers=[("content-type", "text/event-stream")], pieces=events, framing="chunked"))
        assert len(list(client.images.generate(model="gpt-image-1", prompt="A hat", stream=True))) == 2
        play(upstream, {"id": "modr-1", "model": "omni", "results": []})
        assert client.moderations.create(input="a", model="omni").id == "modr-1"


def test_an_unknown_path_passes_with_its_query_and_headers(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(418, [("content-type", "text/x"), ("x-who", "b")], [b"tea"]))
    headers = {
        "x-new": "1",
        "content-type": "text/weird; a=b",
        "cookie": "c",
        "openai-organization": "o",
        "x-mine": "sk-mine-123",
    }
    answer = call(gateway, "POST", "/v1/brand_new?a=%20b&c", content=b"\x00 raw", headers=headers)
    assert (answer.status_code, answer.content, answer.headers["x-who"]) == (418, b"tea", "b")
    received = upstream.double.received[-1]
    assert received.line == "POST /v1/brand_new?a=%20b&c HTTP/1.1"
    assert received.body == b"\x00 raw"
    assert received.headers["x-new"] == "1"
    assert received.headers["content-type"] == "text/weird; a=b"
    assert {"cookie", "openai-organization", "x-mine"}.isdisjoint(received.headers)


def test_a_key_uses_only_its_models(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {"text": ""})
    file = {"file": ("a.wav", b"a")}
    assert (
        call(gateway, "POST", "/v1/audio/transcriptions", "few", data={"model": "gpt-9"}, files=file).status_code == 403
    )
    assert call(gateway, "POST", "/v1/audio/transcriptions", "few", files=file).status_code == 403
    assert call(gateway, "POST", "/v1/audio/speech", "few", json={"model": "tts-1", "input": "a"}).status_code == 403
    assert call(gateway, "POST", "/v1/evals", "few", json={"source": {"model": "gpt-9"}}).status_code == 403
    assert upstream.double.received == []
    data = {"model": "whisper-1"}
    assert call(gateway, "POST", "/v1/audio/transcriptions", "few", data=data, files=file).status_code == 200


def test_who_called_what_is_recorded_without_binary_bodies(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(headers=[("content-type", "audio/mpeg")], pieces=[SOUND]))
    id = call(gateway, "POST", "/v1/audio/speech", json={"model": "tts-1", "input": "a"}).headers["x-foreword-id"]
    for _ in range(50):
        record = call(gateway, "GET", f"/v1/foreword/exchanges/{id}").json()
        if "endpoint" in record:
            break
        time.sleep(0.1)
    assert (record["endpoint"], record["model"], record["key"]) == ("audio/speech", "tts-1", "mine")
    assert record["answer"]["text"] == ""


def test_a_path_needs_a_key(gateway: GatewayProcess) -> None:
    assert httpx.post(f"{gateway.url}/v1/audio/speech", json={}).status_code == 401
    assert httpx.get(f"{gateway.url}/v1/batches").status_code == 401


def test_the_backends_account_is_for_admins(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {"object": "list", "data": []})
    for path in ("/v1/organization/costs", "/v1/organization/admin_api_keys", "/v1/projects"):
        assert call(gateway, "GET", path).status_code == 403
        assert call(gateway, "GET", path, "root").status_code == 200


KINDS = [
    ("batches", "/cancel", {"input_file_id": ""}),
    ("fine_tuning/jobs", "/events", {"model": "gpt-4o"}),
    ("assistants", "", {"model": "gpt-4o"}),
    ("threads", "/messages", {}),
    ("conversations", "/items", {}),
    ("videos", "/content", {"model": "sora-2", "prompt": "a"}),
    ("containers", "/files", {"name": "a"}),
    ("evals", "/runs", {"name": "a"}),
    ("uploads", "/parts", {"bytes": 1}),
    ("realtime/calls", "/hangup", {"model": "gpt-4o"}),
    ("audio/voices", "", {"name": "a"}),
    ("audio/voice_consents", "", {"name": "a"}),
    ("brand_new_things", "/contents", {}),
]


def test_every_path_that_stores_objects_is_tried() -> None:
    families = {kind.partition("/")[0] for kind, _, _ in KINDS}
    # the results of batches are files, and are tried with them
    assert set(WORDS) - {"files"} <= families


@pytest.mark.parametrize(("kind", "below", "body"), KINDS)
def test_an_object_is_seen_by_the_key_that_made_it_alone(
    gateway: GatewayProcess, upstream: UpstreamInThread, kind: str, below: str, body: dict[str, Any]
) -> None:
    name = kind.replace("/", "")
    id, foreign = f"obj_{name}9Xa", f"obj_{name}7Yb"
    body = {name: value for name, value in body.items() if value}
    play(upstream, {"id": id, "output_file_id": f"file-{name}Out1"})
    assert call(gateway, "POST", f"/v1/{kind}", json=body).status_code == 200
    one = f"/v1/{kind}/{id}"
    assert call(gateway, "GET", one).json()["id"] == id
    before = len(upstream.double.received)
    for key in ("other", "few"):
        for method in ("GET", "POST", "DELETE", "HEAD"):
            for path in (
                one,
                one + below,
                f"/v1/{kind}/../{kind}/{id}",
                one.replace("_", "%5F"),
                one + "/",
                one + "?a=1",
            ):
                answer = call(gateway, method, path, key)
                assert answer.status_code in (403, 404), (key, method, path, answer.text)
    assert call(gateway, "GET", f"/v1/files/file-{name}Out1/content", "other").status_code == 404
    for field in ("assistant_id", "thread_id", "input_file_id", "conversation", "container", "file_ids"):
        nested = {"a": [{field: [id] if field.endswith("s") else id}]}
        assert call(gateway, "POST", f"/v1/{kind}", "other", json=nested).status_code == 404
    assert len(upstream.double.received) == before
    assert call(gateway, "GET", f"/v1/{kind}/{foreign}").status_code == 404
    assert call(gateway, "GET", one, "root").status_code == 200

    listed = {
        "object": "list",
        "data": [{"id": foreign, "n": 1.50}, {"id": id}],
        "has_more": False,
        "first_id": foreign,
    }
    play(upstream, listed)
    assert call(gateway, "GET", f"/v1/{kind}").json() == {**listed, "data": [{"id": id}], "first_id": id}
    assert call(gateway, "GET", f"/v1/{kind}", "other").json()["data"] == []
    assert call(gateway, "GET", f"/v1/{kind}", "root").json() == listed


def test_a_list_goes_on_until_the_page_is_full(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {"id": "batch_longList1"})
    call(gateway, "POST", "/v1/batches", json={})
    pages = [
        {"object": "list", "data": [{"id": "batch_somebodys1"}], "has_more": True},
        {"object": "list", "data": [{"id": "batch_longList1"}], "has_more": False},
    ]
    play(upstream, *pages)
    assert [each["id"] for each in call(gateway, "GET", "/v1/batches?limit=1").json()["data"]] == ["batch_longList1"]
    assert "after=batch_somebodys1" in upstream.double.received[-1].line


def test_another_keys_conversation_is_not_carried_on_by_a_response(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    play(upstream, {"id": "conv_mine0001"})
    call(gateway, "POST", "/v1/conversations", json={})
    body = {"model": "gpt-4o", "input": "a", "conversation": "conv_mine0001"}
    assert call(gateway, "POST", "/v1/responses", "other", json=body).status_code == 404
    body["conversation"] = {"id": "conv_mine0001"}  # type: ignore[assignment]
    assert call(gateway, "POST", "/v1/responses", "other", json=body).status_code == 404
    raw = b'{"model":"gpt-4o","input":"a","conver\\u0073ation":"conv_mine0001"}'
    assert call(gateway, "POST", "/v1/responses", "other", content=raw).status_code == 404


def test_objects_of_a_stream_belong_to_its_key(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    event = b'event: thread.created\ndata: {"id":"thread_streamed1","object":"thread"}\n\n'
    stream = [("content-type", "text/event-stream")]
    upstream.double.play(Script(headers=stream, pieces=[event[:30], event[30:]], framing="chunked"))
    answer = call(gateway, "POST", "/v1/threads/runs", json={"stream": True})
    assert answer.content == event
    play(upstream, {"id": "thread_streamed1"})
    assert call(gateway, "GET", "/v1/threads/thread_streamed1").status_code == 200
    assert call(gateway, "GET", "/v1/threads/thread_streamed1", "other").status_code == 404


def test_a_get_is_tried_again_and_a_post_is_not(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {"id": "batch_again0001"})
    call(gateway, "POST", "/v1/batches", json={})
    refused = Script(503, JSON, [b"{}"])
    upstream.double.play(refused, refused, Script(pieces=[b'{"id": "batch_again0001"}']))
    assert call(gateway, "POST", "/v1/moderations", json={"model": "m", "input": "a"}).status_code == 503
    assert call(gateway, "GET", "/v1/batches/batch_again0001").status_code == 200
    assert [each.line.split()[0] for each in upstream.double.received] == ["POST", "GET", "GET"]


def test_answers_that_are_not_read_free_their_connections(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, {"id": "batch_leak00001"})
    call(gateway, "POST", "/v1/batches", json={})
    refused = Script(503, [*JSON, ("retry-after", "0")], [b"{}"])
    with httpx.Client(headers={"authorization": "Bearer sk-mine-123"}) as client:
        for _ in range(12):  # more answers than the connections that the backend may have
            upstream.double.play(refused, Script(pieces=[b'{"id": "batch_leak00001"}']))
            assert client.get(f"{gateway.url}/v1/batches/batch_leak00001").status_code in (200, 503)


def test_a_client_that_leaves_ends_the_upstream_call(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(headers=[("content-type", "audio/mpeg")], pieces=[b"a"], end="stall"))
    headers = {"authorization": "Bearer sk-mine-123"}
    url = f"{gateway.url}/v1/audio/speech"
    with httpx.stream("POST", url, json={"model": "tts-1"}, headers=headers) as answer:
        next(answer.iter_raw())
    assert upstream.left()


def test_a_broken_answer_does_not_look_whole(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    headers = [("content-type", "audio/mpeg")]
    upstream.double.play(Script(headers=headers, pieces=[b"a" * 999], framing="chunked", end="cut"))
    with pytest.raises(httpx.RemoteProtocolError):
        call(gateway, "POST", "/v1/audio/speech", json={"model": "tts-1"})


def test_no_limit_on_an_answer_of_a_message_is_refused(gateway: GatewayProcess) -> None:
    for tokens in (0, -5):
        body = {"model": "fake", "max_tokens": tokens, "messages": [{"role": "user", "content": "a"}]}
        answer = call(gateway, "POST", "/v1/messages", json=body)
        assert answer.status_code == 400
        assert answer.json()["type"] == "error"
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert "max_tokens" in answer.json()["error"]["message"]


def test_the_openapi_document_names_both_ways_to_send_a_key(gateway: GatewayProcess) -> None:
    document = httpx.get(f"{gateway.url}/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert {"type": "apiKey", "in": "header", "name": "x-api-key"} in schemes.values()
    assert document["security"] == [{name: []} for name in schemes]
