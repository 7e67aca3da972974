"""Who is let in: keys, this machine alone where there are none, and pages of allowed origins."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.adapters import problems_of
from gateway.assembly.assemble import assemble
from gateway.server.app import application
from gateway.settings.read import load, read_file

BACKEND = '[backends.up]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["m"]\n'
PLAIN = '[prompt]\ntemplates = []\n[records]\npolicy = "none"\n'
KEYED = '[keys.app]\nsecret = "key-of-the-app"\nadmin = true\n'
APP, OTHER = "https://app.example.com", "https://other.example.com"
ORIGINS = f'[server]\nallowed_origins = ["{APP}"]\n'
CHAT = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
BEARER = {"authorization": "Bearer key-of-the-app"}

Browse = Callable[[str], httpx.AsyncClient]


@pytest.fixture
async def browse(tmp_path: Path) -> AsyncIterator[Browse]:
    clients = []

    def client(config: str) -> httpx.AsyncClient:
        (tmp_path / "config.toml").write_text(
            BACKEND + '[prompt]\ntemplates = []\n[records]\npolicy = "none"\n' + config
        )
        gateway = assemble(load(tmp_path / "config.toml"))
        made = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(gateway)),  # type: ignore[arg-type] - Litestar's own types
            base_url="http://127.0.0.1:8080",
        )
        clients.append(made)
        return made

    yield client
    for each in clients:
        await each.aclose()


def asking(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }


async def test_a_key_may_come_as_anthropics_clients_send_it(browse: Browse) -> None:
    page = browse(KEYED)

    async def status(*headers: tuple[str, str]) -> int:
        return (await page.get("/v1/models", headers=list(headers))).status_code

    right, wrong = "key-of-the-app", "another"
    assert await status(("x-api-key", right)) == 200
    assert await status(("x-api-key", wrong)) == 401
    assert await status(("x-api-key", right), ("authorization", f"Bearer {wrong}")) == 401, "a bearer token counts"
    assert await status(("x-api-key", wrong), ("authorization", f"Bearer {right}")) == 200
    assert await status(("x-api-key", wrong), ("x-api-key", right)) == 400, "a proxy may have checked the other one"


async def test_a_preflight_of_an_allowed_origin_needs_no_key(browse: Browse) -> None:
    page = browse(ORIGINS + KEYED)
    for path in ("/v1/chat/completions", "/v1/models", "/v1/vector_stores"):
        answer = await page.options(path, headers=asking(APP))
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-headers"] == "authorization"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("config", "origin"), [(ORIGINS + KEYED, OTHER), (KEYED, APP), (ORIGINS + KEYED, "null"), ("", APP)]
)
async def test_other_origins_are_told_nothing(browse: Browse, config: str, origin: str) -> None:
    page = browse(config)
    preflight = await page.options("/v1/chat/completions", headers=asking(origin))
    answer = await page.post("/v1/chat/completions", json=CHAT, headers=BEARER | {"origin": origin})
    assert preflight.status_code in (401, 403, 405)
    for reply in (preflight, answer):
        assert "access-control-allow-origin" not in reply.headers


async def test_a_page_can_read_errors_too(browse: Browse) -> None:
    page = browse(ORIGINS + KEYED)
    replies = [
        await page.post("/v1/chat/completions", json=CHAT, headers={"origin": APP}),
        await page.post("/v1/chat/completions", content=b"{", headers=BEARER | {"origin": APP}),
        await page.post("/v1/chat/completions", json=CHAT, headers=BEARER | {"origin": APP}),
        await page.get("/nothing", headers=BEARER | {"origin": APP}),
    ]
    assert [reply.status_code for reply in replies] == [401, 400, 503, 404]
    for reply in replies:
        assert reply.headers["access-control-allow-origin"] == APP
        assert reply.headers["access-control-expose-headers"] == "*"
        assert "origin" in reply.headers["vary"].lower()


async def test_without_keys_an_allowed_page_is_let_in_and_no_other(browse: Browse) -> None:
    page = browse(ORIGINS)
    assert (await page.get("/v1/models", headers={"origin": APP})).status_code == 200
    assert (await page.get("/v1/models", headers={"origin": OTHER})).status_code == 403


@pytest.mark.parametrize(
    "header", ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via", "Via"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/health/live", "/v1/foreword/templates.html"])
async def test_without_keys_nothing_is_answered_through_a_proxy(browse: Browse, header: str, path: str) -> None:
    page = browse("")
    answer = await page.get(path, headers={header: "203.0.113.7"})
    assert (answer.status_code, "proxy" in answer.text) == (403, True)
    chat = await page.post("/v1/chat/completions", json=CHAT, headers={header: "203.0.113.7"})
    assert chat.status_code == 403


async def test_with_keys_a_proxy_is_welcome(browse: Browse) -> None:
    answer = await browse(KEYED).get("/v1/models", headers=BEARER | {"x-forwarded-for": "203.0.113.7"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
async def test_two_authorization_headers_are_refused(browse: Browse, path: str) -> None:
    for second in ("Bearer key-of-the-app", "Bearer other", ""):
        headers = [("authorization", "Bearer key-of-the-app"), ("authorization", second)]
        method = "GET" if path == "/v1/models" else "POST"
        assert (await browse(KEYED).request(method, path, headers=headers)).status_code == 400


@pytest.mark.parametrize("secret", [" ", "", "\t", "\u00a0"])
async def test_a_blank_secret_opens_nothing(browse: Browse, secret: str, tmp_path: Path) -> None:
    page = browse(KEYED)
    answers = [
        await page.get("/v1/models", headers={"authorization": f"Bearer {secret}".encode()}),
        await page.get("/v1/foreword/compare.html", auth=("x", secret)),
    ]
    assert [answer.status_code for answer in answers] == [401, 401]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def mistakes(tmp_path: Path, keys: str) -> list[str]:
    (tmp_path / "config.toml").write_text(BACKEND + "[prompt]\ntemplates = []\n" + keys)
    settings, problems = read_file(tmp_path / "config.toml")
    assert settings is not None
    return [str(problem) for problem in [*problems, *problems_of(settings)]]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (f'[keys.a]\nsha256 = "{digest("")}"', "hash of nothing"),
        (f'[keys.a]\nsha256 = "{digest("").upper()}"', "hash of nothing"),
        (f'[keys.a]\nsha256 = "{digest(chr(10))}"', "hash of nothing"),
        (f'[keys.a]\nsha256 = "{digest(" ")}"', "hash of nothing"),
        (f'[keys.a]\nsha256 = "{digest("x")}"', "hash of 'x'"),
        ('[keys.a]\nsecret = "x"', "fewer than 6"),
        ('[keys.a]\nsecret = "          "', "fewer than 6"),
        ('[keys.""]\nsecret = "long-enough"', "needs a name"),
        ('[keys.a]\nsecret = "long-enough"\n[keys.b]\nsecret = " long-enough "', "same secret as [keys.a]"),
        (f'[keys.a]\nsecret = "long-enough"\n[keys.b]\nsha256 = "{digest("long-enough")}"', "same secret as [keys.a]"),
        ('[server]\nallowed_origins = ["app.example.com"]', "not an origin"),
        ('[server]\nallowed_origins = ["https://app.example.com/"]', "not an origin"),
        ('[server]\nallowed_origins = ["*"]', "every web page"),
    ],
)
def test_a_key_that_is_guessed_or_doubled_is_a_mistake(tmp_path: Path, keys: str, words: str) -> None:
    (mistake,) = mistakes(tmp_path, keys)
    assert words in mistake


async def test_a_stream_is_readable_by_the_page() -> None:
    from gateway.server.cors import Cors

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "POST", "headers": [(b"origin", APP.encode())]}
    through = Cors([APP]).answering(scope, send)
    upstreams = [(b"content-type", b"text/event-stream"), (b"Access-Control-Allow-Origin", b"*")]
    await through({"type": "http.response.start", "status": 200, "headers": upstreams})
    await through({"type": "http.response.body", "body": b"data: a\n\n", "more_body": True})
    head = sent[0]["headers"]
    assert [value for name, value in head if name.lower() == b"access-control-allow-origin"] == [APP.encode()]
    assert sent[1]["body"] == b"data: a\n\n"


@pytest.mark.parametrize("scheme", ["", "Token ", "Basic "])
async def test_a_key_without_bearer_is_told_what_is_wrong_and_is_not_repeated(browse: Browse, scheme: str) -> None:
    answer = await browse(KEYED).get("/v1/models", headers={"authorization": f"{scheme}key-of-the-app"})

    assert answer.status_code == 401
    assert "Write the word Bearer before the key" in answer.json()["error"]["message"]
    assert "key-of-the-app" not in answer.text


@pytest.mark.parametrize(
    ("header", "said"),
    [("x-foreword-mod", "Did you mean x-foreword-mode?"), ("x-foreword-quite-else", "Known: x-foreword-collections")],
)
async def test_an_unknown_header_of_ours_is_refused_on_every_endpoint(browse: Browse, header: str, said: str) -> None:
    page = browse(KEYED)
    bodies = {
        "chat/completions": CHAT,
        "completions": {"model": "m", "prompt": "a"},
        "embeddings": {"model": "m", "input": "a"},
        "responses": {"model": "m", "input": "a"},
        "messages": {**CHAT, "max_tokens": 5},
    }
    for endpoint, body in bodies.items():
        answer = await page.post(f"/v1/{endpoint}", json=body, headers={**BEARER, header: "off"})
        assert (endpoint, answer.status_code) == (endpoint, 400)
        assert f"Unknown header {header}" in answer.json()["error"]["message"]
        assert said in answer.json()["error"]["message"]
