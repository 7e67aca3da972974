"""The stages of a request through `/v1/messages`: prompts by name, templates, collections, previews.

The backends are a stub of Anthropic's API and a stub of an OpenAI-compatible server. The embedder is a real one.
"""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.handbook import CONFIG, LEAVE, QUESTION, client_of, filled, ready, said, sent
from tests.doubles.process import GatewayProcess
from tests.doubles.templates import source, write
from tests.doubles.upstream import Script

CLAUDE = """
[backends.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:{port}/v1"
models = ["claude-*"]
"""
SHORTEN = "family: shorten\nslots:\n  text: {from: payload, required: true}\n"
ANSWER = Script(pieces=[b'{"type":"message","content":[{"type":"text","text":"15 [1]"}],"stop_reason":"end_turn"}'])
SYSTEM: Any = [{"type": "text", "text": "You work at a bank.", "cache_control": {"type": "ephemeral"}}]


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("stages")
    body = "# system\nBe brief.\n# user\nShorten: {{ text }}\n"
    write(folder / "mine", "shorten", source(body, id="shorten.en", version=3, intent="shorten", more=SHORTEN))
    config = (
        (CONFIG + CLAUDE).format(port=upstream.port).replace("templates = []", 'mode = "off"\ntemplates = ["mine"]')
    )
    process = GatewayProcess(folder, config)
    try:
        yield ready(process, "templates")
    finally:
        process.stop()


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    with client_of(gateway, "alice") as alice:
        filled(alice, leave=LEAVE)
    with anthropic.Anthropic(base_url=gateway.url, api_key="alice-key", max_retries=0) as made:
        yield made


def ask(client: anthropic.Anthropic, model: str, **fields: Any) -> Any:
    given = {"max_tokens": 50, "messages": [{"role": "user", "content": QUESTION}], **fields}
    return client.messages.with_raw_response.create(model=model, **given)


@pytest.mark.parametrize("model", ["claude-4", "gpt-4o"])
def test_passages_of_a_collection_stand_before_the_question(
    model: str, client: anthropic.Anthropic, upstream: UpstreamInThread
) -> None:
    upstream.double.play(ANSWER if model == "claude-4" else said("15 [1]"))

    answer = ask(client, model, system=SYSTEM, extra_body={"foreword": {"collections": ["handbook"]}})

    told = sent(upstream)
    question = told["messages"][-1]["content"]
    assert "fifteen days" in question and question.endswith(QUESTION)
    assert "foreword" not in told
    account = json.loads(answer.text())["foreword"]
    assert account["citations"][0]["source"] == "leave.md" and account["sources"]["cited"] == [1]
    if model == "claude-4":
        assert told["system"] == SYSTEM, "what no stage touched stays byte for byte"
    else:
        assert told["messages"][0] == {"role": "system", "content": "You work at a bank."}


def test_passages_never_come_between_a_call_and_its_result(
    client: anthropic.Anthropic, upstream: UpstreamInThread
) -> None:
    upstream.double.play(ANSWER)
    call = {"type": "tool_use", "id": "t1", "name": "find", "input": {}}
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "none"}]},
    ]

    ask(client, "claude-4", messages=turns, extra_body={"foreword": {"collections": ["handbook"]}})

    told = sent(upstream)["messages"]
    assert told[1:] == turns[1:]
    assert "fifteen days" in told[0]["content"]


@pytest.mark.parametrize("model", ["claude-4", "gpt-4o"])
def test_a_prompt_by_name_comes_before_the_clients_own(
    model: str, client: anthropic.Anthropic, upstream: UpstreamInThread
) -> None:
    upstream.double.play(ANSWER if model == "claude-4" else said("ok"))
    prompt = {"id": "shorten", "variables": {"text": "A long text."}}

    answer = ask(client, model, messages=[{"role": "user", "content": "Hurry"}], extra_body={"prompt": prompt})

    user = [{"role": "user", "content": "Shorten: A long text."}, {"role": "user", "content": "Hurry"}]
    told = sent(upstream)
    if model == "claude-4":
        assert told == {"model": "claude-4", "max_tokens": 50, "messages": user, "system": "Be brief."}
    else:
        assert told["messages"] == [{"role": "system", "content": "Be brief."}, *user]
    assert answer.headers["x-foreword-template"] == "shorten.en@3"


def test_a_preview_shows_the_body_that_the_backend_would_get(gateway: GatewayProcess, client: Any) -> None:
    body = {"model": "claude-4", "max_tokens": 5, "system": "Be kind.", "messages": [{"role": "user", "content": "a"}]}
    headers = {"x-api-key": "alice-key", "anthropic-version": "2023-06-01"}

    native = httpx.post(gateway.url + "/v1/foreword/preview", json=body, headers=headers).json()
    chat = httpx.post(gateway.url + "/v1/foreword/preview", json=body | {"model": "gpt-4o"}, headers=headers).json()

    assert native["body"] == body
    assert chat["body"]["messages"][0] == {"role": "system", "content": "Be kind."}
    assert [turn["role"] for turn in native["before"]] == ["system", "user"]
