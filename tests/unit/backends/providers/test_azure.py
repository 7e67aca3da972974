"""The backend kind `azure` against a stub of Azure, which the official client accepts too."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.ask import Endpoint
from gateway.backends.providers import azure
from gateway.backends.providers.azure import Azure, AzureSettings, check
from gateway.backends.providers.fresh import NoCredentials
from gateway.exchange import Exchange
from gateway.ports import PassedRequest
from gateway.wire.chat import decode
from tests.doubles.entra import EntraStub
from tests.doubles.raw_server import RawConnection, RawServer
from tests.doubles.upstream import Script, Upstream

CHAT = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-11-20",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
                "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


@pytest.fixture
async def stub() -> AsyncIterator[tuple[Upstream, int]]:
    double = Upstream()
    port = await double.start()
    yield double, port
    await double.stop()


async def sent(port: int, **fields: Any) -> Any:
    settings = AzureSettings(base_url=f"http://127.0.0.1:{port}", models=("*",), **fields)
    assert list(check(settings, Path())) == []
    backend = Azure("azure", settings, Path())
    await backend.open()
    try:
        return await backend.send(Exchange("fw-1", decode.chat(CHAT, {})), "m", ())
    finally:
        await backend.aclose()


@pytest.mark.parametrize("version", ["v1", "2024-10-21"])
async def test_the_official_client_and_the_backend_send_to_the_same_path(
    stub: tuple[Upstream, int], version: str
) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))
    reply = await sent(port, api_key="k", api_version=version)
    if version == "v1":
        client: Any = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/openai/v1", api_key="k")
    else:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=f"http://127.0.0.1:{port}", api_key="k", api_version=version, azure_deployment="m"
        )
    async with client:
        answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])

    own, official = double.received
    assert reply.body == ANSWER
    assert answer.choices[0].message.content == "Hello"
    assert own.line == official.line
    assert own.headers["api-key"] == "k"


PATHS: dict[str, Any] = {
    "/images/generations": lambda client: client.images.generate(model="m", prompt="a cat"),
    "/audio/speech": lambda client: client.audio.speech.create(model="m", input="Hi", voice="alloy"),
    "/files": lambda client: client.files.list(),
    "/batches": lambda client: client.batches.list(),
    "/fine_tuning/jobs/ftjob-1": lambda client: client.fine_tuning.jobs.retrieve("ftjob-1"),
}


@pytest.mark.parametrize("version", ["v1", "2024-10-21"])
@pytest.mark.parametrize("path", PATHS)
async def test_every_other_path_passes_where_the_official_client_sends_it(
    stub: tuple[Upstream, int], path: str, version: str
) -> None:
    double, port = stub
    double.play(Script(pieces=[b'{"data": []}']))
    if version == "v1":
        client: Any = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/openai/v1", api_key="secret")
    else:
        place = f"http://127.0.0.1:{port}"
        client = openai.AsyncAzureOpenAI(azure_endpoint=place, api_version=version, api_key="secret", max_retries=0)
    async with client:
        await PATHS[path](client)
    settings = AzureSettings(
        base_url=f"http://127.0.0.1:{port}", models=("m",), api_version=version, token_command=("printf", "token")
    )
    backend = Azure("azure", settings, Path())
    method = double.received[0].line.split()[0]
    model = "m" if b'"model"' in double.received[0].body else ""
    reply = await backend.pass_on(PassedRequest(method, path.encode(), (), b"", model=model))
    await reply.aclose()
    await backend.aclose()
    assert double.received[1].line == double.received[0].line
    assert double.received[1].headers["authorization"] == "Bearer token"


async def test_a_managed_identity_gets_a_token_that_is_used_for_later_requests(
    stub: tuple[Upstream, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    double, port = stub
    token = {"access_token": "entra-1", "expires_on": "4102444800", "resource": "r", "token_type": "Bearer"}
    double.play(Script(pieces=[json.dumps(token).encode()]), Script(pieces=[ANSWER]))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "secret-of-the-machine")

    reply = await sent(port, identity="managed", client_id="app-1")

    asked, answered = double.received
    assert reply.status == 200
    assert asked.line.startswith("GET /msi/token?") and "cognitiveservices.azure.com" in asked.line
    assert "app-1" in asked.line
    assert answered.headers["authorization"] == "Bearer entra-1"
    assert "api-key" not in answered.headers


@pytest.mark.parametrize("secret", ["right", "wrong"])
async def test_an_application_gets_its_token_from_entra_id(
    stub: tuple[Upstream, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))
    with EntraStub(tmp_path, "right") as entra:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(entra.certificate))
        fields = {"tenant": "tenant-1", "client_id": "app-1", "client_secret": secret, "authority": entra.host}
        if secret == "wrong":
            with pytest.raises(NoCredentials) as told:
                await sent(port, identity="secret", **fields)
            assert told.value.status == 502 and "wrong" not in told.value.message
            assert double.received == []
            return
        reply = await sent(port, identity="secret", **fields)

    (form,) = entra.forms
    assert reply.status == 200
    assert form["grant_type"] == ["client_credentials"]
    assert form["scope"] == ["https://cognitiveservices.azure.com/.default"]
    assert double.received[0].headers["authorization"] == "Bearer entra-1"


def test_an_identity_without_microsofts_library_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure, "is_installed", lambda module: False)
    settings = AzureSettings(base_url="https://x.openai.azure.com", models=("*",), identity="managed")

    (problem,) = check(settings, Path())
    assert problem.where == "identity" and "foreword[azure]" in problem.remedy


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"base_url": "https://x.openai.azure.com/openai/v1"}, "base_url"),
        ({"api_version": ""}, "api_version"),
        ({"identity": "managed", "api_key": "k"}, "identity"),
        ({"identity": "secret", "client_id": "c", "client_secret": "s"}, "tenant"),
        ({"models": ()}, "models"),
    ],
)
def test_a_mistake_in_the_settings_is_named(fields: dict[str, Any], where: str) -> None:
    given = {"base_url": "https://x.openai.azure.com", "models": ("*",), **fields}

    assert [problem.where for problem in check(AzureSettings(**given), Path())] == [where]


@pytest.mark.parametrize(("version", "native"), [("v1", True), ("2024-10-21", False)])
def test_responses_are_native_at_the_v1_path_alone(version: str, native: bool) -> None:
    settings = AzureSettings(base_url="https://x.openai.azure.com", models=("gpt-*",), api_version=version)
    (card,) = Azure("azure", settings, Path()).models()

    assert (Endpoint.RESPONSES in card.endpoints) is native


@pytest.mark.parametrize(
    ("version", "path", "target"),
    [
        ("v1", "models", "/openai/v1/models"),
        ("2024-10-21", "models", "/openai/models?api-version=2024-10-21"),
        ("2024-10-21", "models?a=b", "/openai/models?a=b&api-version=2024-10-21"),
        ("2024-10-21", "/status", "/status"),
    ],
)
async def test_a_probe_names_the_version(stub: tuple[Upstream, int], version: str, path: str, target: str) -> None:
    double, port = stub
    double.play(Script(pieces=[b"{}"]))
    settings = AzureSettings(base_url=f"http://127.0.0.1:{port}", models=("*",), api_key="k", api_version=version)
    backend = Azure("azure", settings, Path())
    await backend.open()
    try:
        assert await backend.ping(path) == 200
    finally:
        await backend.aclose()
    assert double.received[0].line == f"GET {target} HTTP/1.1"


async def test_a_configured_header_is_not_sent_twice_beside_the_key() -> None:
    heads: list[bytes] = []

    def handle(connection: RawConnection, _: int) -> None:
        while head := connection.request():
            heads.append(head)
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    with RawServer(handle) as server:
        headers = {"Api-Key": "of the table", "Content-Type": "application/json", "X-Own": "a"}
        settings = AzureSettings(
            base_url=f"http://127.0.0.1:{server.port}", models=("*",), api_key="k", headers=headers
        )
        backend = Azure("azure", settings, Path())
        await backend.open()
        try:
            await backend.manage("GET", "models")
            await (await backend.pass_on(PassedRequest("GET", b"/models", ()))).aclose()
            await backend.ping("models")
        finally:
            await backend.aclose()

    assert len(heads) == 3
    for head in heads:
        lines = [line.lower() for line in head.split(b"\r\n")]
        assert [line for line in lines if line.startswith(b"api-key:")] == [b"api-key: k"]
        assert sum(line.startswith(b"content-type:") for line in lines) == 1 and b"x-own: a" in lines
