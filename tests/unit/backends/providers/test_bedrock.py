"""The backend kind `bedrock`: its signatures, its keys, its streams over a socket, and its settings."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.backends.providers import bedrock
from gateway.backends.providers.bedrock import Bedrock, BedrockSettings, address_of, check
from gateway.backends.providers.fresh import NoCredentials
from gateway.exchange import Exchange
from gateway.wire.chat import decode
from tests.doubles.aws import STREAM_HEADERS, is_signed
from tests.doubles.provider_streams import joined
from tests.doubles.upstream import Script, Upstream
from tests.golden.test_bedrock_streams import MODEL, STREAM

CHAT = b'{"model":"m","messages":[{"role":"user","content":"Hi \xc3\xbc"}]}'
ANSWER = b'{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn"}'
KEYS: Any = {"access_key_id": "AKIA1", "secret_access_key": "the-secret"}


@pytest.fixture
async def stub() -> AsyncIterator[tuple[Upstream, int]]:
    double = Upstream()
    port = await double.start()
    yield double, port
    await double.stop()


async def sent(port: int, model: str = MODEL, chat: bytes = CHAT, path: str = "", **fields: Any) -> tuple[Any, bytes]:
    settings = BedrockSettings(base_url=f"http://127.0.0.1:{port}{path}", region="us-east-1", models=("*",), **fields)
    assert list(check(settings, Path())) == []
    backend = Bedrock("bedrock", settings)
    await backend.open()
    try:
        reply = await backend.send(Exchange("fw-1", decode.chat(chat, {})), model, ((b"traceparent", b"00-1"),))
        pieces = [piece async for piece in reply.pieces] if reply.pieces else [reply.body]
    finally:
        await backend.aclose()
    return reply, b"".join(pieces)


@pytest.mark.parametrize("model", [MODEL, "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.x", "a b/ü+~"])
@pytest.mark.parametrize("path", ["", "/behind/a proxy"])
async def test_a_request_is_signed_whatever_its_model_and_its_address(
    stub: tuple[Upstream, int], model: str, path: str
) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))

    reply, body = await sent(port, model, path=path.replace(" ", "%20"), **KEYS)

    (received,) = double.received
    assert reply.status == 200 and json.loads(body)["choices"][0]["message"]["content"] == "Hello"
    assert is_signed(received, "the-secret") and not is_signed(received, "another")
    assert received.headers["traceparent"] == "00-1"


async def test_temporary_keys_send_their_token_signed(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))

    await sent(port, session_token="the-token", **KEYS)

    (received,) = double.received
    assert received.headers["x-amz-security-token"] == "the-token"
    assert is_signed(received, "the-secret") and "x-amz-security-token" in received.headers["authorization"]


async def test_keys_are_found_as_awss_library_finds_them(
    stub: tuple[Upstream, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id = AKIA2\naws_secret_access_key = of-the-file\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    await sent(port, profile="team")

    assert is_signed(double.received[0], "of-the-file")


async def test_new_keys_in_awss_files_replace_keys_that_are_refused(
    stub: tuple[Upstream, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double, port = stub
    double.play(Script(status=403, pieces=[b'{"message":"revoked"}']), Script(pieces=[ANSWER]))
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIA2\naws_secret_access_key = old\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    settings = BedrockSettings(base_url=f"http://127.0.0.1:{port}", region="us-east-1", models=("*",))
    backend = Bedrock("bedrock", settings)
    await backend.open()
    try:
        refused = await backend.send(Exchange("fw-1", decode.chat(CHAT, {})), MODEL, ())
        file.write_text("[default]\naws_access_key_id = AKIA3\naws_secret_access_key = new\n")
        answered = await backend.send(Exchange("fw-2", decode.chat(CHAT, {})), MODEL, ())
    finally:
        await backend.aclose()

    assert (refused.status, answered.status) == (403, 200)
    assert is_signed(double.received[0], "old") and is_signed(double.received[1], "new")


async def test_a_probe_is_signed_and_a_refused_probe_drops_the_keys(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    double.play(Script(status=403, pieces=[b"{}"]))
    settings = BedrockSettings(base_url=f"http://127.0.0.1:{port}", region="us-east-1", models=("*",), **KEYS)
    backend = Bedrock("bedrock", settings)
    await backend.open()
    try:
        assert await backend.ping("/ping") == 403
        dropped = backend._keys is not None and backend._keys._value is None
    finally:
        await backend.aclose()

    assert is_signed(double.received[0], "the-secret") and dropped


async def test_missing_keys_are_a_failure_of_the_backend_alone(
    stub: tuple[Upstream, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)

    with pytest.raises(NoCredentials) as told:
        await sent(port)
    assert told.value.status == 502 and double.received == []


async def test_a_key_of_bedrock_is_sent_without_a_signature(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))

    await sent(port, api_key="bedrock-key")

    assert double.received[0].headers["authorization"] == "Bearer bedrock-key"
    assert "x-amz-date" not in double.received[0].headers


async def test_a_binary_stream_over_a_socket_is_a_stream_of_chat(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    pieces = [STREAM[at : at + 100] for at in range(0, len(STREAM), 100)]
    double.play(Script(headers=STREAM_HEADERS, pieces=pieces, framing="chunked"))

    reply, stream = await sent(port, chat=CHAT[:-1] + b',"stream":true}', **KEYS)

    assert double.received[0].line.split()[1].endswith("/converse-stream")
    assert dict(reply.headers)[b"content-type"].startswith(b"text/event-stream")
    assert stream.endswith(b"data: [DONE]\n\n") and joined(stream)["content"] == "Zwei Grüße."


def test_the_address_is_that_of_the_region() -> None:
    address = address_of(BedrockSettings(region="eu-central-1"))

    assert address == "https://bedrock-runtime.eu-central-1.amazonaws.com/"


def test_a_missing_library_is_a_mistake_before_the_port_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock, "is_installed", lambda module: False)

    (problem,) = check(BedrockSettings(region="us-east-1", models=("*",)), Path())
    assert "foreword[bedrock]" in problem.remedy


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"region": ""}, "region"),
        ({"region": "eu/../x"}, "region"),
        ({"api_key": "k", **KEYS}, "api_key"),
        ({"access_key_id": "AKIA1"}, "access_key_id"),
        ({"profile": "p", **KEYS}, "profile"),
        ({"base_url": "bedrock"}, "base_url"),
    ],
)
def test_a_mistake_in_the_settings_is_named(fields: dict[str, Any], where: str) -> None:
    given = {"region": "us-east-1", "models": ("*",), **fields}

    assert [problem.where for problem in check(BedrockSettings(**given), Path())] == [where]
