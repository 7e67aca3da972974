"""The backend kind `gemini`: its addresses, its keys and tokens, and its settings."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.ask import Ask, Endpoint
from gateway.backends.providers import gemini
from gateway.backends.providers.gemini import Gemini, GeminiSettings, address_of, check
from gateway.exchange import Exchange
from gateway.wire.chat import decode
from tests.doubles.upstream import Script, Upstream

CHAT = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
ANSWER = b'{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}]}'
VECTORS = b'{"predictions":[{"embeddings":{"values":[0.5,1],"statistics":{"token_count":3,"truncated":false}}}]}'


@pytest.fixture
async def stub() -> AsyncIterator[tuple[Upstream, int]]:
    double = Upstream()
    port = await double.start()
    yield double, port
    await double.stop()


async def sent(port: int, ask: Ask, root: Path = Path(), **fields: Any) -> Any:
    settings = GeminiSettings(base_url=f"http://127.0.0.1:{port}/v1/projects/p/publishers/google", **fields)
    assert list(check(settings, root)) == []
    backend = Gemini("gemini", settings, root)
    await backend.open()
    try:
        return await backend.send(Exchange("fw-1", ask), "gemini-2.5-flash", ())
    finally:
        await backend.aclose()


def account(folder: Path, port: int) -> str:
    """Write the file of a service account whose tokens the stub issues, and return its name."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    fields = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "1",
        "private_key": key.private_bytes(*form).decode(),
        "client_email": "foreword@p.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{port}/token",
    }
    (folder / "account.json").write_text(json.dumps(fields))
    return "account.json"


async def test_a_service_account_gets_a_token_from_googles_library(stub: tuple[Upstream, int], tmp_path: Path) -> None:
    double, port = stub
    token = b'{"access_token":"ya29.fresh","expires_in":3599,"token_type":"Bearer"}'
    double.play(Script(pieces=[token]), Script(pieces=[ANSWER]))

    file = account(tmp_path, port)
    reply = await sent(port, decode.chat(CHAT, {}), tmp_path, project="p", models=("*",), credentials_file=file)

    issued, answered = double.received
    assert issued.line.startswith("POST /token ") and b"assertion=" in issued.body
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "Hello"
    assert answered.line.split()[1] == "/v1/projects/p/publishers/google/models/gemini-2.5-flash:generateContent"
    assert answered.headers["authorization"] == "Bearer ya29.fresh"
    assert "x-goog-api-key" not in answered.headers


async def test_embeddings_at_vertex_ai_are_predictions(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    double.play(Script(pieces=[VECTORS]))
    raw = b'{"model":"m","input":"a","dimensions":2}'

    reply = await sent(port, Ask(Endpoint.EMBEDDING, "m", raw), project="p", models=("*",), api_key="k")

    (received,) = double.received
    assert received.line.split()[1].endswith("/models/gemini-2.5-flash:predict")
    assert json.loads(received.body) == {"instances": [{"content": "a"}], "parameters": {"outputDimensionality": 2}}
    answer = json.loads(reply.body)
    assert answer["data"][0]["embedding"] == [0.5, 1] and answer["usage"]["prompt_tokens"] == 3


async def test_a_list_of_models_has_openais_form(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    double.play(Script(pieces=[b'{"models":[{"name":"models/gemini-2.5-flash","inputTokenLimit":1048576}]}']))
    backend = Gemini("gemini", GeminiSettings(base_url=f"http://127.0.0.1:{port}/v1beta", api_key="k"), Path())

    status, body = await backend.manage("GET", "models")

    assert status == 200
    assert json.loads(body)["data"][0]["id"] == "gemini-2.5-flash"
    assert double.received[0].line.split()[1] == "/v1beta/models?pageSize=1000"
    assert double.received[0].headers["x-goog-api-key"] == "k"


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, "https://generativelanguage.googleapis.com/v1beta"),
        ({"project": "p"}, "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google"),
        (
            {"project": "p", "location": "europe-west4"},
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google",
        ),
    ],
)
def test_the_address_is_that_of_the_gemini_api_or_of_vertex_ai(fields: dict[str, Any], address: str) -> None:
    assert address_of(GeminiSettings(**fields)) == address


def test_a_missing_library_is_a_mistake_before_the_port_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini, "is_installed", lambda module: False)

    (problem,) = check(GeminiSettings(project="p", models=("*",)), Path())
    assert "foreword[vertex]" in problem.remedy
    assert list(check(GeminiSettings(project="p", models=("*",), api_key="k"), Path())) == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"project": "a/b", "api_key": "k"}, "project"),
        ({"credentials_file": "missing.json", "project": "p"}, "credentials_file"),
        ({"api_key": "k", "token_command": ("x",)}, "api_key"),
        ({"base_url": "generativelanguage.googleapis.com"}, "base_url"),
    ],
)
def test_a_mistake_in_the_settings_is_named(fields: dict[str, Any], where: str) -> None:
    assert [problem.where for problem in check(GeminiSettings(models=("*",), **fields), Path())] == [where]


async def test_a_name_of_a_model_cannot_lead_to_another_path(stub: tuple[Upstream, int]) -> None:
    double, port = stub
    double.play(Script(pieces=[ANSWER]))
    settings = GeminiSettings(base_url=f"http://127.0.0.1:{port}/v1beta", models=("*",), api_key="k")
    backend = Gemini("gemini", settings, Path())
    await backend.open()

    await backend.send(Exchange("fw-1", decode.chat(CHAT, {})), "../files:delete?x", ())
    await backend.aclose()

    assert double.received[0].line.split()[1] == "/v1beta/models/..%2Ffiles%3Adelete%3Fx:generateContent"
