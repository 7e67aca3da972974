"""The gateway as a process, before a scripted upstream: what clients, operators and attackers see."""

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.2
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-upstream-secret"
models = ["*"]
[routing]
default = "gpt-4o"
"""
KEYS = f"""
[keys.app]
sha256 = "{hashlib.sha256(b"key-of-the-app").hexdigest()}"
models = ["gpt-*"]
[keys.slow]
secret = "key-of-the-slow"
requests_per_minute = 2
[keys.boss]
secret = "key-of-the-boss"
admin = true
"""
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
ANSWER = (
    b'{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,'
    b'"total_tokens":2}}'
)
EVENT = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o",'
    b'"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
)
VECTOR = (
    b'{"object":"list","model":"e","data":[{"object":"embedding","index":0,"embedding":[0.5]}],'
    b'"usage":{"prompt_tokens":1,"total_tokens":1}}'
)
NO_KEYS: list[dict[str, str]] = [
    {},
    {"authorization": "Bearer wrong"},
    {"authorization": "Basic a2V5"},
    {"authorization": "Bearer"},
]
STREAM = [("content-type", "text/event-stream")]


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("server"), CONFIG.format(port=upstream.port)) as process:
        yield process


@pytest.fixture(scope="module")
def guarded(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("guarded"), CONFIG.format(port=upstream.port) + KEYS) as process:
        yield process


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def recorded(gateway: GatewayProcess, id: str) -> dict[str, object]:
    found: dict[str, object] = httpx.get(f"{gateway.url}/v1/foreword/exchanges/{id}").json()
    return found


def test_the_official_client_chats_streams_embeds_and_lists(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    upstream.double.play(Script(pieces=[ANSWER]))
    chat = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[EVENT, EVENT, b"data: [DONE]\n\n"]))
    stream = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    upstream.double.play(Script(pieces=[VECTOR]))
    embedded = client.embeddings.create(model="e", input="a", encoding_format="float")

    assert chat.choices[0].message.content == "Hi"
    assert said == "HiHi"
    assert embedded.data[0].embedding == [0.5]
    client.close()


def test_a_cut_stream_raises_in_the_official_client(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0)
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[EVENT], end="reset"))

    with pytest.raises(openai.APIError, match="broke off"):
        list(client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a"}], stream=True))
    client.close()


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_upstream_call_at_once(
    gateway: GatewayProcess, upstream: UpstreamInThread, stream: bool
) -> None:
    script = Script(headers=STREAM, framing="chunked", pieces=[EVENT], end="stall") if stream else Script(end="stall")
    upstream.double.play(script)
    id = ""

    url, body = gateway.url + "/v1/chat/completions", CHAT | {"stream": stream}
    with contextlib.suppress(httpx.ReadTimeout), httpx.stream("POST", url, json=body, timeout=0.5) as answer:
        id = answer.headers["x-foreword-id"]
        next(answer.iter_raw())

    assert upstream.left()
    if id:
        assert recorded(gateway, id)["ending"] == "left"


def test_an_exchange_can_be_read_back_and_judged(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    id = httpx.post(gateway.url + "/v1/chat/completions", json=CHAT).headers["x-foreword-id"]
    opinion = {"exchange": id, "score": 0.5, "label": "greeting", "comment": "short", "answer": "Hello!"}

    stored = httpx.post(gateway.url + "/v1/foreword/feedback", json=opinion)
    found = recorded(gateway, id)

    assert stored.status_code == 201
    assert found["answer"] == {
        "text": "Hi",
        "finish": "stop",
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "extra": {},
        "cached_tokens": -1,
        "reasoning_tokens": -1,
        "calls": [],
    }
    assert [{key: entry[key] for key in opinion} for entry in found["feedback"]] == [opinion]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"exchange": "fw-000000000000000000000000", "score": 1}, 404),
        ({"exchange": "x", "score": 7}, 400),
        ({"exchange": "x"}, 400),
        ({"score": 1}, 400),
    ],
)
def test_wrong_feedback_is_refused(gateway: GatewayProcess, body: dict[str, object], status: int) -> None:
    answer = httpx.post(gateway.url + "/v1/foreword/feedback", json=body)

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_preview_calls_nobody(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))

    shown = httpx.post(gateway.url + "/v1/foreword/preview", json=CHAT).json()

    assert (shown["changed"], shown["route"][0]["backend"], shown["body"]) == (False, "up", CHAT)
    assert upstream.double.received == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"host": "127.evil.example:1", "origin": "http://127.evil.example:1"}, 403),
        ({"host": "localhost:8080"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({}, 200),
    ],
)
def test_without_keys_only_this_machines_own_programs_are_served(
    gateway: GatewayProcess, upstream: UpstreamInThread, headers: dict[str, str], status: int
) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))

    assert httpx.post(gateway.url + "/v1/chat/completions", json=CHAT, headers=headers).status_code == status
    for path in ("/v1/models", "/metrics", "/health/live"):
        assert httpx.get(gateway.url + path, headers=headers).status_code == status


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/foreword/preview", "/v1/foreword/feedback"],
)
@pytest.mark.parametrize("headers", NO_KEYS)
def test_no_post_route_answers_without_a_key(guarded: GatewayProcess, path: str, headers: dict[str, str]) -> None:
    answer = httpx.post(guarded.url + path, json=CHAT, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/foreword/exchanges/x"])
def test_no_get_route_answers_without_a_key(guarded: GatewayProcess, path: str) -> None:
    assert httpx.get(guarded.url + path).status_code == 401


def test_a_key_reaches_its_models_and_its_own_exchanges_only(
    guarded: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    mine = bearer("key-of-the-app")
    id = httpx.post(guarded.url + "/v1/chat/completions", json=CHAT, headers=mine).headers["x-foreword-id"]
    place = f"{guarded.url}/v1/foreword/exchanges/{id}"

    assert (
        httpx.post(guarded.url + "/v1/chat/completions", json=CHAT | {"model": "o9"}, headers=mine).status_code == 403
    )
    assert httpx.get(place, headers=mine).status_code == 200
    assert httpx.get(place, headers=bearer("key-of-the-slow")).status_code == 404
    assert httpx.get(place, headers=bearer("key-of-the-boss")).status_code == 200


def test_a_key_over_its_limit_is_told_when_to_come_back(guarded: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))

    answers = [
        httpx.post(guarded.url + "/v1/chat/completions", json=CHAT, headers=bearer("key-of-the-slow")) for _ in range(4)
    ]

    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


def test_no_secret_is_logged_or_shown(guarded: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(status=500, headers=[("content-type", "text/html")], pieces=[b"<html>"]))
    answer = httpx.post(guarded.url + "/v1/chat/completions", json=CHAT, headers=bearer("key-of-the-boss"))
    pages = [answer.text, httpx.get(guarded.url + "/metrics").text, httpx.get(guarded.url + "/health/ready").text]

    for text in [*pages, guarded.log.read_text("utf-8")]:
        for secret in ("sk-upstream-secret", "key-of-the-boss", "key-of-the-app"):
            assert secret not in text


@pytest.mark.parametrize("name", ["gpt-x/../../files", "gpt-x/%2e%2e/%2e%2e/files", "gpt-x/..", ".."])
def test_a_models_name_never_leads_to_another_place_at_the_upstream(
    guarded: GatewayProcess, upstream: UpstreamInThread, name: str
) -> None:
    upstream.double.play(Script(pieces=[b"{}"]))
    head = "host: x\r\nauthorization: Bearer key-of-the-app\r\nconnection: close\r\n\r\n"
    line = f"GET /v1/models/{name} HTTP/1.1\r\n{head}"

    with socket.create_connection(("127.0.0.1", guarded.port)) as raw:
        raw.sendall(line.encode())
        status = raw.makefile("rb").readline().split()[1]

    assert status in (b"404", b"403")
    assert upstream.double.received == []


def test_the_command_line_cannot_open_a_gateway_without_keys_to_the_network(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=1), "utf-8")
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(config), "--host", "0.0.0.0"]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 2
    assert "there is no key" in done.stderr


def test_a_legacy_completion_that_names_a_collection_is_answered_without_it(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[b'{"choices":[]}']))
    body = {"model": "m", "prompt": "a", "foreword": {"collections": ["x"]}}

    answer = httpx.post(gateway.url + "/v1/completions", json=body)

    assert answer.status_code == 200
    assert answer.headers["x-foreword-retrieve"].startswith("skipped")


def test_two_workers_share_their_metrics_and_limits(upstream: UpstreamInThread, redis_url: str, tmp_path: Path) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    shared = f'[server]\nworkers = 2\n[state]\nkind = "redis"\nurl = "{redis_url}"\nprefix = "{tmp_path}"\n'
    mine = bearer("key-of-the-slow")
    with running(tmp_path, CONFIG.format(port=upstream.port) + KEYS + shared) as gateway:
        answers = [
            httpx.post(gateway.url + "/v1/chat/completions", json=CHAT, headers=mine).status_code for _ in range(8)
        ]
        pages = [httpx.get(gateway.url + "/metrics").text for _ in range(4)]

    assert answers.count(200) == 2
    for page in pages:
        assert 'foreword_requests_total{ending="finished",endpoint="chat/completions",status="200"} 2.0' in page


@pytest.mark.parametrize("path", ["/assistants", "/v1/chat/nothing", "/v2/stars"])
def test_an_unknown_path_is_refused_in_openais_form(gateway: GatewayProcess, path: str) -> None:
    answer = httpx.get(gateway.url + path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert "Did you mean" not in answer.json()["error"]["message"]


def test_a_doubled_v1_of_anthropics_client_is_explained(gateway: GatewayProcess) -> None:
    answer = httpx.post(gateway.url + "/v1/v1/messages", json={})

    assert "The base URL of Anthropic's clients does not end in /v1." in answer.text


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/v1/chat/completions", "/v1/chat/completion"])
def test_a_path_that_is_nearly_right_names_the_right_one(gateway: GatewayProcess, path: str) -> None:
    answer = httpx.post(gateway.url + path, json={})

    assert answer.status_code == 404
    assert "Did you mean /v1/chat/completions? A client's base URL ends in /v1." in answer.json()["error"]["message"]


def test_a_path_that_lacks_an_id_says_so(gateway: GatewayProcess) -> None:
    answer = httpx.get(gateway.url + "/v1/foreword/exchanges")

    assert answer.status_code == 404
    assert "It needs an id: /v1/foreword/exchanges/{id}" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path", "right"), [("GET", "/v1/embeddings", "POST"), ("PUT", "/v1/models", "GET")])
def test_a_wrong_method_names_the_right_one(gateway: GatewayProcess, method: str, path: str, right: str) -> None:
    answer = httpx.request(method, gateway.url + path)

    assert answer.status_code == 405
    assert right in answer.headers["allow"]
    assert f"use {right}" in answer.json()["error"]["message"]


def test_the_openapi_document_describes_every_route(gateway: GatewayProcess) -> None:
    document = httpx.get(gateway.url + "/openapi.json").json()
    paths = document["paths"]

    assert set(paths) >= {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/foreword/preview",
        "/v1/foreword/exchanges/{id}",
        "/v1/foreword/feedback",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    assert document["security"] == [{"key": []}, {"anthropic_key": []}]
    assert [path for path in paths if paths[path].get("get", {}).get("security") == []] == [
        "/health/live",
        "/health/ready",
        "/metrics",
    ]
    for path in ("/v1/foreword/preview", "/v1/foreword/feedback", "/v1/vector_stores", "/v1/files", "/v1/responses"):
        assert paths[path]["post"]["requestBody"]["required"], path
        assert paths[path]["post"]["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith(
            "Error"
        )


def test_the_openapi_document_has_errors_in_the_form_of_each_api(gateway: GatewayProcess) -> None:
    document = httpx.get(gateway.url + "/openapi.json").json()
    forms = {"chat/completions": "Error", "messages": "MessagesError", "messages/count_tokens": "MessagesError"}

    for path, form in forms.items():
        refusal = document["paths"][f"/v1/{path}"]["post"]["responses"]["4XX"]
        assert refusal["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{form}"}
        sent = httpx.post(f"{gateway.url}/v1/{path}", content=b"{").json()
        assert set(document["components"]["schemas"][form]["required"]) <= set(sent)


@pytest.mark.parametrize("page", ["/openapi", "/openapi/swagger", "/openapi/redoc", "/openapi/elements", "/schema"])
def test_no_page_loads_scripts_from_other_sites(gateway: GatewayProcess, page: str) -> None:
    assert "<script" not in httpx.get(gateway.url + page).text


def test_metrics_count_what_happened(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    httpx.post(gateway.url + "/v1/chat/completions", json=CHAT)

    page = httpx.get(gateway.url + "/metrics").text

    assert 'foreword_requests_total{ending="finished",endpoint="chat/completions",status="200"}' in page
    assert "foreword_spool_lag_bytes" in page


def test_four_mistakes_are_reported_at_once_and_the_port_stays_closed(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[server]\nprot = 1\n[backends.a]\nkind = "opnai"\n[routing]\ndefault = 7\n', "utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(config)], capture_output=True, text=True
    )

    assert done.returncode == 2
    for words in ("4 mistakes", "[server] prot", "'port'", "[backends.a] kind", "known: ", "[routing] default"):
        assert words in done.stderr
    assert "Listening" not in done.stdout + done.stderr


def served(config: Path, text: str, port: int) -> "subprocess.CompletedProcess[str]":
    config.write_text(text, "utf-8")
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(config), "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_port_that_is_taken_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = served(tmp_path / "config.toml", CONFIG.format(port=1), port)

    assert done.returncode == 2
    assert f"config.toml [server] port: 127.0.0.1:{port} is in use\n    Stop the program that listens on" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_of_another_machine_is_said_in_a_line(tmp_path: Path) -> None:
    config = CONFIG.format(port=1) + KEYS + '[server]\nhost = "192.0.2.1"\n'

    done = served(tmp_path / "config.toml", config, 8080)

    assert done.returncode == 2
    assert "config.toml [server] host: cannot listen on 192.0.2.1:8080" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_data_folder_that_cannot_be_made_is_a_mistake(tmp_path: Path, workers: int) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    text = CONFIG.format(port=1).replace('"data"', '"file/data"') + f"[server]\nworkers = {workers}\n"

    looked = check(tmp_path / "config.toml", text)
    done = served(tmp_path / "config.toml", text, 8080)

    assert (looked.returncode, done.returncode) == (2, 2)
    assert "config.toml [data] folder" in [problem["where"] for problem in json.loads(looked.stdout)["mistakes"]]
    assert "config.toml [data] folder" in done.stderr
    assert "Traceback" not in done.stderr


def check(config: Path, text: str) -> "subprocess.CompletedProcess[str]":
    config.write_text(text, "utf-8")
    command = [sys.executable, "-m", "gateway.cli.main", "check", "--config", str(config), "--json"]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_mistake_in_a_table_hides_none_across_tables_and_a_wrong_word_names_the_right_ones(tmp_path: Path) -> None:
    text = CONFIG.format(port=1) + '[server]\nhost = "0.0.0.0"\nport = "x"\n[prompt]\nmode = "onn"\n'

    found = json.loads(check(tmp_path / "config.toml", text).stdout)["mistakes"]

    places = {problem["where"]: problem for problem in found}
    assert set(places) == {"config.toml [server] port", "config.toml [server] host", "config.toml [prompt] mode"}
    assert places["config.toml [prompt] mode"]["remedy"] == "One of: off, shadow, proven, on."


def test_a_missing_model_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    local = '[backends.a]\nkind = "llamacpp"\nname = "m"\nmodel = "nowhere.gguf"\n'
    package = '[backends.b]\nkind = "llamacpp"\nname = "n"\nmodel = "package:no_such_package/x.gguf"\n'

    done = check(tmp_path / "config.toml", local + package)

    found = json.loads(done.stdout)["mistakes"]
    assert done.returncode == 2
    places = [problem["where"] for problem in found]
    assert places == ["config.toml [backends.a] model", "config.toml [backends.b] model"]
    assert "nowhere.gguf" in found[0]["what"]
    assert "pip install" in found[1]["what"] + found[1]["remedy"]


def test_a_broken_template_is_left_out_and_named_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bad.prompt.md").write_text("---\nschema: 1\nid: bad\nversoin: 1\n---\n# user\nhi\n", "utf-8")
    backend = '[backends.up]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["*"]\n'
    text = f'{backend}[embedder]\nkind = "sentence"\n[prompt]\ntemplates = ["mine"]\n'

    done = check(tmp_path / "config.toml", text)

    assert done.returncode == 0
    assert "bad.prompt.md:4:1" in json.loads(done.stdout)["templates_left_out"][0]


def test_kill_9_in_the_middle_of_load_loses_no_finished_exchange(upstream: UpstreamInThread, tmp_path: Path) -> None:
    config = CONFIG.format(port=upstream.port)
    upstream.double.play(Script(pieces=[ANSWER]))
    finished: list[str] = []
    gateway = GatewayProcess(tmp_path, config).wait()

    def load() -> None:
        with httpx.Client() as client, contextlib.suppress(httpx.HTTPError):
            while True:
                answer = client.post(gateway.url + "/v1/chat/completions", json=CHAT)
                if answer.status_code == 200:
                    finished.append(answer.headers["x-foreword-id"])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(finished) < 150:
        time.sleep(0.01)
    gateway.kill()
    for thread in threads:
        thread.join()

    with running(tmp_path, config) as again:
        found = [httpx.get(f"{again.url}/v1/foreword/exchanges/{id}").status_code for id in finished]

    assert found == [200] * len(finished)


def test_a_stopping_gateway_closes_its_port_and_keeps_its_records(upstream: UpstreamInThread, tmp_path: Path) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    with running(tmp_path, CONFIG.format(port=upstream.port)) as gateway:
        id = httpx.post(gateway.url + "/v1/chat/completions", json=CHAT).headers["x-foreword-id"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", gateway.port)) != 0

    shown = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "exchanges", "show", id, "--config", str(gateway.config), "--json"],
        capture_output=True,
        text=True,
    )

    assert json.loads(shown.stdout)["id"] == id
