"""Prompts over the window: a scripted model reads them in parts, and the stream says how far it is."""

import json
from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script
from tests.e2e.test_techniques import says, sent, streams

CONFIG = """
[data]
folder = "data"
[context]
parallel_calls = 1
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
window_tokens = 1500
"""
TWO_DEPLOYMENTS = """
[data]
folder = "data"
[backends.native]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["small-8k"]
[backends.scaled]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["small-32k"]
[models.small]
backend = "native"
upstream = "small-8k"
window_tokens = 1500
longer = "small-long"
[models.small-long]
backend = "scaled"
upstream = "small-32k"
window_tokens = 6000
"""
STORY = "\n\n".join(f"Chapter {n}. In town {n} Anna met the keeper of tower {n}, called Person{n}." for n in range(120))
SUMMARISE = f"Summarise this story:\n\n{STORY}"


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("long"), CONFIG.format(port=upstream.port)) as process:
        yield process


def asks(text: str, **more: object) -> dict[str, object]:
    return {"model": "small", "messages": [{"role": "user", "content": text}], **more}


def lines(gateway: GatewayProcess, body: dict[str, object]) -> list[str]:
    with httpx.stream("POST", gateway.url + "/v1/chat/completions", json=body, timeout=30) as answer:
        assert answer.status_code == 200
        return [line for line in answer.iter_lines() if line]


def test_a_question_is_looked_up_in_its_own_text(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(says("Person77."))
    question = f"Who is the keeper of tower 77?\n\n{STORY}"
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": question}], extra_body={"foreword": {}}
        )

    (body,) = sent(upstream)
    assert "called Person77." in body["messages"][0]["content"]
    account = (answer.model_extra or {})["foreword"]
    assert account["strategy"] == "focus"
    assert "passages were chosen; about" in account["context"]["said"]
    assert account["context"]["tokens"] > account["context"]["window_tokens"]
    assert all(question[cited["start"] : cited["end"]] == cited["text"] for cited in account["citations"])


def test_a_stream_says_how_far_the_reading_is(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(*[says(f"Anna met Person{n}.") for n in range(20)])
    preview = httpx.post(gateway.url + "/v1/foreword/preview", json=asks(SUMMARISE), timeout=30).json()
    (quote,) = [note["data"]["quote"] for note in preview["notes"] if note["stage"] == "condense"]
    assert sent(upstream) == []

    upstream.double.play(*[says(f"Anna met Person{n}.") for n in range(quote["calls"])], streams("She met ", "all."))
    found = lines(gateway, asks(SUMMARISE, stream=True))

    assert [line for line in found if line.startswith(":")] == [
        f": map: {n} read" for n in range(1, quote["calls"] + 1)
    ]
    assert found[-1] == "data: [DONE]"
    assert "Anna met Person0." in sent(upstream)[-1]["messages"][0]["content"]


def test_a_refusal_after_the_first_comment_is_an_event_and_no_end_mark_follows(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    refusal = Script(
        400, pieces=[b'{"error": {"message": "no such model",\n "type": "x", "param": null, "code": null}}']
    )
    story = SUMMARISE.replace("Anna", "Berta")
    preview = httpx.post(gateway.url + "/v1/foreword/preview", json=asks(story), timeout=30).json()
    (quote,) = [note["data"]["quote"] for note in preview["notes"] if note["stage"] == "condense"]
    upstream.double.play(*[says("Berta met many.") for _ in range(quote["calls"])], refusal)

    found = lines(gateway, asks(story, stream=True))

    assert json.loads(found[-1].removeprefix("data: "))["error"]["message"] == "no such model"
    assert "data: [DONE]" not in found


def test_a_strategy_that_cannot_be_used_is_refused_with_the_reason(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    answer = httpx.post(
        gateway.url + "/v1/chat/completions", json=asks(SUMMARISE, foreword={"strategy": "interpolated"}), timeout=30
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "foreword.strategy"
    wrong = httpx.post(gateway.url + "/v1/chat/completions", json=asks("x", foreword={"strategy": "magic"}), timeout=30)
    assert "known: direct, trimmed, focus" in wrong.json()["error"]["message"]


def test_two_deployments_of_a_model_are_chosen_by_what_the_request_needs(
    upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, local = f"How many times does Anna meet a keeper?\n\n{STORY}", f"Who keeps tower 77?\n\n{STORY}"
    with running(tmp_path_factory.mktemp("two"), TWO_DEPLOYMENTS.format(port=upstream.port)) as gateway:
        used = []
        for text in ("Hello.", local, whole):
            upstream.double.play(says("Yes."))
            reply = httpx.post(gateway.url + "/v1/chat/completions", json=asks(text), timeout=30)
            assert reply.status_code == 200
            (body,) = sent(upstream)
            used.append((body["model"], reply.headers.get("x-foreword-strategy")))
    assert used == [("small-8k", None), ("small-8k", "focus"), ("small-32k", "interpolated")]
    assert body["messages"] == [{"role": "user", "content": whole}]


TRANSLATE = f"Translate the story into French.\n\n{STORY}"


def pieces_of(gateway: GatewayProcess, text: str) -> int:
    preview = httpx.post(gateway.url + "/v1/foreword/preview", json=asks(text), timeout=30).json()
    (data,) = [note["data"] for note in preview["notes"] if note["stage"] == "condense"]
    return int(data["pieces"])


def test_a_stock_client_gets_a_translation_piece_by_piece_in_order(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    count = pieces_of(gateway, TRANSLATE)
    assert count > 3
    upstream.double.play(says("Anna = Anne\nRome = Rome"), *[says(f"Morceau {n}.") for n in range(count)])
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="small",
            messages=[{"role": "user", "content": TRANSLATE}],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"foreword": {}},
        )
        chunks = list(stream)
    texts = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(texts) == "\n\n".join(f"Morceau {n}." for n in range(count))
    assert len(texts) >= count
    assert (chunks[0].model_extra or {})["foreword"]["strategy"] == "piecewise"
    assert any(chunk.usage for chunk in chunks)
    _, *bodies = sent(upstream)
    assert all("to be the same in every part: Anna = Anne\n" in body["messages"][0]["content"] for body in bodies)
    assert all("Translate the story into French." in body["messages"][0]["content"] for body in bodies)
    for n in range(120):
        assert sum(body["messages"][0]["content"].count(f"called Person{n}.") for body in bodies) == 1


def test_the_responses_api_gets_the_same_text(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    translate = TRANSLATE.replace("Anna", "Berta")
    count = pieces_of(gateway, translate)
    upstream.double.play(says("Berta = Berthe"), *[says(f"Morceau {n}.") for n in range(count)])
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        answer = client.responses.create(model="small", input=translate)
    assert answer.output_text == "\n\n".join(f"Morceau {n}." for n in range(count))


def test_a_refusal_of_the_first_piece_keeps_its_status(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    refusal = b'{"error": {"message": "no such model", "type": "x", "param": null, "code": null}}'
    upstream.double.play(Script(404, pieces=[refusal]))
    rewrite = TRANSLATE.replace("Translate the story into French", "Rewrite the story for children")
    answer = httpx.post(gateway.url + "/v1/chat/completions", json=asks(rewrite, stream=True), timeout=30)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "no such model"


def test_headers_and_account_say_what_became_of_the_text(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(*[says("- a port") for _ in range(12)])
    body = asks(f"List every town that is mentioned.\n\n{STORY}", foreword={})
    reply = httpx.post(gateway.url + "/v1/chat/completions", json=body, timeout=30)
    said = reply.headers["x-foreword-context"]
    assert "tokens read in" in said
    account = reply.json()["foreword"]["context"]
    assert account["said"] == said
    assert account["quote"]["parts"] >= 2
    assert "levels" not in account


def test_where_nothing_fits_the_refusal_has_the_figures_and_the_strategies(
    upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = CONFIG.replace("parallel_calls = 1", "parallel_calls = 1\nmost_calls = 2")
    upstream.double.play()
    with running(tmp_path_factory.mktemp("refused"), config.format(port=upstream.port)) as gateway:
        reply = httpx.post(gateway.url + "/v1/chat/completions", json=asks(TRANSLATE), timeout=30)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "most_calls is 2" in error["message"]
    assert '"focus"' in error["message"]
    assert sent(upstream) == []


def test_the_messages_api_streams_the_same_pieces(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    translate = TRANSLATE.replace("Anna", "Clara")
    count = pieces_of(gateway, translate)
    upstream.double.play(says("Clara = Claire"), *[says(f"Morceau {n}.") for n in range(count)])
    body = asks(translate, stream=True, max_tokens=100_000)
    with httpx.stream("POST", gateway.url + "/v1/messages", json=body, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    texts = [event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta"]
    assert "".join(texts) == "\n\n".join(f"Morceau {n}." for n in range(count))
    assert events[-1]["type"] == "message_stop"
