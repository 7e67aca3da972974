"""The whole way: an application sends its prompts, `discover` finds them, and from then on they are recognised, while
its own bytes are sent."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from gateway.cli.main import main
from gateway.prompt.found.store import found_path, read_found
from gateway.prompt.found.templates import add_template
from tests.conftest import UpstreamInThread
from tests.doubles.application import SYSTEM, tickets
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
templates = []
found_matches = 2
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
[keys.app]
secret = "app-key"
[keys.other]
secret = "other-key"
[keys.root]
secret = "root-key"
admin = true
"""
ANSWER = (
    b'{"choices":[{"index":0,"message":{"role":"assistant","content":"card"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":25,"completion_tokens":2,"total_tokens":27}}'
)


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}-key"}


def body(ticket: str, system: str = SYSTEM, user: str = "u") -> bytes:
    # with unusual spaces and escapes, which no encoder would write
    messages = (
        f'[{{"role":"system",  "content":{json.dumps(system)}}},{{"content":{json.dumps(ticket)},"role":"user"}}]'
    )
    return f'{{"model": "m",\n "messages": {messages}, "user": "{user}", "temperature": 0.70}}'.encode()


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    process = GatewayProcess(tmp_path_factory.mktemp("found"), CONFIG.format(port=upstream.port))
    try:
        process.wait("/health/live")
        upstream.double.play(Script(pieces=[ANSWER]))
        for at, ticket in enumerate(tickets(20)):
            assert ask(process, body(ticket, user=f"u{at % 4}")).status_code == 200
        time.sleep(1.5)  # the drain writes the records once a second
        result = command(process, "jobs", "run", "discover")
        assert result.exit_code == 0, result.output
        wait_for(lambda: "x-foreword-recognise" in ask(process, body("anything")).headers)
        yield process
    finally:
        process.stop()


def ask(gateway: GatewayProcess, content: bytes, name: str = "app", mode: str = "") -> httpx.Response:
    headers = key(name) | ({"x-foreword-mode": mode} if mode else {})
    return httpx.post(f"{gateway.url}/v1/chat/completions", content=content, headers=headers)


def command(gateway: GatewayProcess, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--config", str(gateway.config)])


def wait_for(holds: object) -> None:
    assert callable(holds)
    for _ in range(100):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")


def found(gateway: GatewayProcess) -> str:
    (prompt,) = read_found(found_path(gateway.folder / "data")).prompts
    return prompt.id


def test_a_recognised_request_is_sent_byte_for_byte(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    sent = body("a new ticket, never seen before")
    answer = ask(gateway, sent)
    assert answer.headers["x-foreword-recognise"].endswith(f"@1; {found(gateway)}")
    assert upstream.double.received[-1].body == sent


def test_the_record_names_the_prompt(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    id = ask(gateway, body("one more")).headers["x-foreword-id"]
    record = httpx.get(f"{gateway.url}/v1/foreword/exchanges/{id}", headers=key("app")).json()
    assert record["recognised"] == f"{found(gateway)}@1"


def test_a_deployed_change_passes_unchanged_and_unrecognised(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    sent = body("a ticket", SYSTEM.replace("one label", "a label"))
    answer = ask(gateway, sent)
    assert answer.headers["x-foreword-recognise"].startswith("unknown")
    assert upstream.double.received[-1].body == sent


def test_another_key_is_not_recognised_and_sees_nothing(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    assert "x-foreword-recognise" not in ask(gateway, body("a ticket"), "other").headers
    url = f"{gateway.url}/v1/foreword/prompts"
    assert httpx.get(url, headers=key("other")).json()["data"] == []
    assert httpx.get(f"{url}/{found(gateway)}", headers=key("other")).status_code == 404
    assert httpx.get(f"{url}/{found(gateway)}/export", headers=key("other")).status_code == 404


def test_list_and_show_by_api(gateway: GatewayProcess) -> None:
    url = f"{gateway.url}/v1/foreword/prompts"
    (listed,) = httpx.get(url, headers=key("app")).json()["data"]
    assert (listed["id"], listed["use"]["requests"], listed["use"]["tokens"]) == (found(gateway), 20, 27.0)
    shown = httpx.get(f"{url}/{listed['name']}", headers=key("app")).json()["prompt"]
    assert [message["text"] for message in shown["messages"]] == [SYSTEM, "{{ part1 }}"]
    assert httpx.get(f"{url}/{listed['name']}?version=7", headers=key("app")).status_code == 404


def test_only_an_admin_key_changes_a_prompt(gateway: GatewayProcess) -> None:
    url = f"{gateway.url}/v1/foreword/prompts/{found(gateway)}"
    assert httpx.post(url, json={"name": "triage"}, headers=key("app")).status_code == 403
    for wrong in ({"name": "Not A Name"}, {"name": "triage\n"}):
        assert httpx.post(url, json=wrong, headers=key("root")).status_code == 400
    assert httpx.post(url, content=b'{"name": "\xff"}', headers=key("root")).status_code == 400
    assert httpx.post(url, json={"name": "triage"}, headers=key("root")).json()["prompt"]["name"] == "triage"
    adopted = httpx.post(url, json={"state": "adopted"}, headers=key("root")).json()
    assert adopted["prompt"]["state"] == "adopted"
    file = gateway.folder / "data" / "found" / "templates" / found(gateway) / "1.json"
    assert file.stat().st_mode & 0o077 == 0


def test_a_contract_is_read_and_replaced_by_api(gateway: GatewayProcess) -> None:
    url = f"{gateway.url}/v1/foreword/prompts/{found(gateway)}"
    assert command(gateway, "prompts", "adopt", found(gateway)).exit_code == 0
    own = {"contract": {"labels": ["card", "loan"]}}
    assert httpx.post(url, json=own, headers=key("app")).status_code == 403
    for wrong in ({"lables": []}, {"pattern": "("}, {"json_schema": {"type": 3}}, {"longest": "x"}):
        assert httpx.post(url, json={"contract": wrong}, headers=key("root")).status_code == 400
    shown = httpx.post(url, json=own, headers=key("root")).json()["prompt"]
    assert (shown["contract"]["labels"], shown["contract_by"]) == (["card", "loan"], "a person")
    assert httpx.get(url, headers=key("app")).json()["prompt"]["contract"]["labels"] == ["card", "loan"]
    unlocked = httpx.post(url, json={"unlock": [1]}, headers=key("root")).json()["prompt"]["unlocked"]
    assert unlocked == [SYSTEM]
    assert httpx.post(url, json={"lock": [1]}, headers=key("root")).json()["prompt"]["unlocked"] == []
    assert httpx.post(url, json={"unlock": [9]}, headers=key("root")).status_code == 400
    gone = httpx.post(url, json={"contract": {}}, headers=key("root")).json()["prompt"]
    assert gone["contract"] is None


def test_an_ignored_prompt_is_not_recognised_any_more(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    assert command(gateway, "prompts", "ignore", found(gateway)).exit_code == 0
    wait_for(lambda: "x-foreword-recognise" not in ask(gateway, body("a ticket")).headers)
    assert command(gateway, "prompts", "ignore", found(gateway), "--undo").exit_code == 0
    wait_for(lambda: "x-foreword-recognise" in ask(gateway, body("a ticket")).headers)


def test_a_promoted_version_is_sent_and_taken_back(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    file = gateway.folder / "better.md"
    for words in (("adopt", found(gateway)), ("export", found(gateway), "--to", str(file))):
        assert command(gateway, "prompts", *words).exit_code == 0
    file.write_text(file.read_text().replace("{% endfrozen %}", "{% endfrozen %}\nLower case.", 1))
    for words in (("add", found(gateway), str(file)), ("promote", found(gateway), "--share", "1")):
        result = command(gateway, "prompts", *words)
        assert result.exit_code == 0, result.output

    def swapped() -> bool:
        headers = ask(gateway, body("a ticket"), mode="on").headers
        return headers.get("x-foreword-swap", "").startswith("stable")

    wait_for(swapped)
    sent = json.loads(upstream.double.received[-1].body)
    assert sent["messages"] == [
        {"role": "system", "content": f"{SYSTEM}\nLower case."},
        {"role": "user", "content": "a ticket"},
    ]
    assert sent["temperature"] == 0.7
    assert command(gateway, "prompts", "rollback", found(gateway)).exit_code == 0
    wait_for(lambda: not swapped())
    url = f"{gateway.url}/v1/foreword/prompts/{found(gateway)}"
    assert httpx.post(url, json={"version": 9}, headers=key("root")).status_code == 400
    assert httpx.post(url, json={"version": 2, "share": 1}, headers=key("root")).status_code == 200
    wait_for(swapped)
    assert httpx.post(url, json={"version": 0}, headers=key("root")).status_code == 200
    wait_for(lambda: not swapped())


def test_a_version_may_be_answered_by_another_model(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    command(gateway, "prompts", "adopt", found(gateway))
    template, _ = add_template(gateway.folder / "data", found(gateway), lambda newest: replace(newest, model="other"))
    url = f"{gateway.url}/v1/foreword/prompts/{found(gateway)}"
    sent = {"version": template.version, "share": 1}
    assert httpx.post(url, json=sent, headers=key("root")).status_code == 200

    def answered_by() -> str:
        ask(gateway, body("a ticket"), mode="on")
        return str(json.loads(upstream.double.received[-1].body)["model"])

    wait_for(lambda: answered_by() == "other")
    assert httpx.post(url, json={"version": 0}, headers=key("root")).status_code == 200
    wait_for(lambda: answered_by() == "m")


def test_nobody_else_may_read_the_folder(gateway: GatewayProcess) -> None:
    folder: Path = gateway.folder / "data" / "found"
    assert folder.stat().st_mode & 0o077 == 0


def test_an_admin_key_orders_jobs(gateway: GatewayProcess) -> None:
    url = f"{gateway.url}/v1/foreword/jobs"
    order = {"kind": "discover", "words": {"since": "30d"}}
    assert httpx.post(url, json=order, headers=key("app")).status_code == 403
    assert httpx.get(url, headers=key("app")).status_code == 403
    for wrong in ({}, {"kind": "../x"}, {"kind": "a", "word": {}}, {"kind": "a", "words": []}, {"kind": "a\n"}):
        answer = httpx.post(url, json=wrong, headers=key("root"))
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    made = httpx.post(url, json=order, headers=key("root"))
    assert (made.status_code, made.json()["state"]) == (202, "waiting")
    assert command(gateway, "jobs", "work", "--once").exit_code == 0
    (shown,) = httpx.get(url, headers=key("root")).json()["data"]
    assert (shown["id"], shown["state"], shown["author"]) == (made.json()["id"], "done", "root")
