"""The embedded default, as `make serve` serves it: real models, committed templates, the official client."""

import base64
import contextlib
import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.doubles.process import GatewayProcess, running

ROOT = Path(__file__).parents[2]
MODEL = "smollm2-135m-instruct"
EXTRACT = "extract the name, date and place: Maria Lopez will visit the Berlin office on 14 March 2025."
HANDBOOK = """# Staff handbook

## Leave

Every employee has 27 days of paid leave a year. Unused days expire in March.

## Office hours

The office in Lisbon opens at 08:15 and closes at 19:45. The alarm code is kept by the porter.
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    # the trained classifier is kept from one run of the tests to the next, under a hash of what it learned from
    data = ROOT / ".pytest_cache" / "embedded"
    data.mkdir(parents=True, exist_ok=True)
    config = (ROOT / "config.toml").read_text("utf-8").replace('["templates"]', f'["{ROOT / "templates"}"]')
    config = config.replace('mode = "proven"', 'mode = "on"\ncontrols = 0.0')
    config += f'\n[data]\nfolder = "{data}"\n'
    config += f'[models.small-window]\nbackend = "local"\nupstream = "{MODEL}"\nwindow_tokens = 600\n'
    with running(tmp_path_factory.mktemp("embedded"), config, timeout_s=600) as process:
        yield process


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


def command(gateway: GatewayProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", *arguments, "--config", str(gateway.config)],
        capture_output=True,
        text=True,
    )


def chat(client: openai.OpenAI, text: str, **more: object) -> "openai.types.chat.ChatCompletion":
    options = {"temperature": 0, "max_tokens": 48, **more}
    found = client.chat.completions.create(  # type: ignore[call-overload]
        model=MODEL, messages=[{"role": "user", "content": text}], **options
    )
    assert isinstance(found, openai.types.chat.ChatCompletion)
    return found


def test_a_plain_prompt_comes_back_better_with_the_reason_visible(client: openai.OpenAI) -> None:
    plain = chat(client, EXTRACT, extra_body={"foreword": {"mode": "off"}})
    better = chat(client, EXTRACT, extra_body={"foreword": {"template": "extract-fields.en"}})
    chosen = chat(client, EXTRACT, extra_body={"foreword": {}})
    bare = chat(client, EXTRACT)

    with pytest.raises(json.JSONDecodeError):
        json.loads(plain.choices[0].message.content or "")
    assert json.loads(better.choices[0].message.content or "")["name"] == "Maria Lopez"
    account = (chosen.model_extra or {})["foreword"]
    assert (account["intent"], account["template"].partition("@")[0]) == ("extract-fields", "extract-fields.en")
    assert (plain.model_extra or {})["foreword"]["template"] is None
    assert "foreword" not in (bare.model_extra or {})


def test_a_chinese_prompt_gets_a_chinese_template(gateway: GatewayProcess) -> None:
    body = {
        "messages": [
            {"role": "user", "content": "帮我总结一下这段话:会议从周一改到周二,因为安娜生病了。请带上3份报告。"}
        ]
    }

    shown = httpx.post(gateway.url + "/v1/foreword/preview", json=body, timeout=60).json()

    assert (shown["intent"]["name"], shown["intent"]["language"]) == ("summarise", "zh")
    if shown["changed"]:
        assert shown["rewrite"]["template"] == "summarise.zh"
        assert "请带上3份报告" in "".join(message["content"] for message in shown["after"])


def test_small_talk_is_left_alone(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "hello, how are you today?"}], max_tokens=4
    )

    assert "x-foreword-template" not in raw.headers
    assert raw.headers["x-foreword-classify"].startswith("unknown")


def test_a_stream_says_the_same_as_a_whole_answer(client: openai.OpenAI) -> None:
    whole = chat(client, EXTRACT)
    chunks = list(
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": EXTRACT}],
            temperature=0,
            max_tokens=48,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"foreword": {}},
        )
    )

    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole.choices[0].message.content
    assert (chunks[0].model_extra or {})["foreword"]["template"].startswith("extract-fields.en@")
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_completions_and_choices_and_logprobs(client: openai.OpenAI) -> None:
    legacy = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=3, temperature=0)
    several = chat(client, "hi", n=2, logprobs=True, top_logprobs=2, max_tokens=3, temperature=1, seed=7, stop=["\n"])

    assert "Paris" in legacy.choices[0].text
    assert len(several.choices) == 2
    first = several.choices[0].logprobs
    assert first is not None
    assert first.content is not None
    assert len(first.content[0].top_logprobs) == 2


def test_embeddings_come_from_the_gateways_own_model(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    cat, kitten, tax = client.embeddings.create(
        model="all-minilm-l6-v2", input=["a cat", "a kitten", "the tax office"]
    ).data
    body = {"model": "all-minilm-l6-v2", "input": "a cat", "encoding_format": "base64"}
    packed = httpx.post(gateway.url + "/v1/embeddings", json=body).json()["data"][0]["embedding"]

    def cosine(left: list[float], right: list[float]) -> float:
        return sum(a * b for a, b in zip(left, right, strict=True))

    assert cosine(cat.embedding, kitten.embedding) > cosine(cat.embedding, tax.embedding) + 0.2
    unpacked = struct.unpack(f"{len(cat.embedding)}f", base64.b64decode(packed))
    assert list(unpacked) == pytest.approx(cat.embedding, abs=1e-4)


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {MODEL, "small-window", "all-minilm-l6-v2"}
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "a"}])


def test_a_document_goes_in_and_comes_back_as_numbered_sources(
    client: openai.OpenAI, gateway: GatewayProcess, tmp_path: Path
) -> None:
    document = tmp_path / "handbook.md"
    document.write_text(HANDBOOK, "utf-8")
    added = command(gateway, "collections", "add", "handbook", str(document))
    again = command(gateway, "collections", "add", "handbook", str(document), "--json")

    answer = chat(
        client, "When does the office in Lisbon open?", extra_body={"foreword": {"collections": ["handbook"]}}
    )

    assert added.returncode == 0, added.stderr
    assert "unchanged" in again.stdout
    sources = (answer.model_extra or {})["foreword"]["citations"]
    assert sources[0]["n"] == 1
    assert any("08:15" in source["text"] and source["source"].endswith("handbook.md") for source in sources)


def test_an_unknown_collection_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="nothing-here"):
        chat(client, "What?", extra_body={"foreword": {"collections": ["nothing-here"]}})


def test_a_text_that_no_window_holds_is_refused_with_the_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 8192") as caught:
        chat(client, "long " * 30_000)

    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(("wanted", "strategy"), [({}, "talk"), ({"strategy": "trimmed"}, "trimmed")])
def test_an_old_conversation_is_summed_up_or_trimmed_and_says_so(
    client: openai.OpenAI, wanted: dict[str, str], strategy: str
) -> None:
    old = [{"role": role, "content": "word " * 100} for _ in range(4) for role in ("user", "assistant")]

    raw = client.chat.completions.with_raw_response.create(
        model="small-window",
        messages=[*old, {"role": "user", "content": "What did I say?"}],  # type: ignore[list-item]
        max_tokens=2,
        extra_body={"foreword": wanted},
    )

    assert raw.headers["x-foreword-strategy"] == strategy
    shown = httpx.get(f"{client.base_url}foreword/exchanges/{raw.headers['x-foreword-id']}").json()
    assert shown["sent"][-1]["text"].endswith("What did I say?")
    assert len(shown["sent"]) < 9
    assert bool(shown["calls"]) == (strategy == "talk")


def test_a_client_that_leaves_stops_the_engine(gateway: GatewayProcess) -> None:
    body = {"messages": [{"role": "user", "content": "Tell a very long story."}], "stream": True, "max_tokens": 4000}
    url = gateway.url + "/v1/chat/completions"
    with contextlib.suppress(httpx.HTTPError), httpx.stream("POST", url, json=body, timeout=30) as answer:
        id = answer.headers["x-foreword-id"]
        next(answer.iter_raw())

    # the gateway notices a little later that the client has left
    deadline = time.monotonic() + 30
    while "ending" not in (record := httpx.get(f"{gateway.url}/v1/foreword/exchanges/{id}", timeout=30).json()):
        assert time.monotonic() < deadline, record
        time.sleep(0.05)

    assert record["ending"] == "left"
    assert len(record["answer"]["text"]) < 4000


def test_explain_shows_the_decisions(gateway: GatewayProcess) -> None:
    done = command(gateway, "explain", EXTRACT, "--json")

    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [note["stage"] for note in shown["notes"]] == ["classify", "rewrite", "fit"]
    assert shown["rewrite"]["template"] == "extract-fields.en"


def test_the_librarys_own_examples_and_tests_pass(gateway: GatewayProcess) -> None:
    done = command(gateway, "templates", "test")

    assert done.returncode == 0, done.stdout + done.stderr
