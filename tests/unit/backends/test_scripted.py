"""The scripted backend, asked through the official client."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from gateway.backends.local.scripted import Scripted, ScriptedSettings, check
from tests.doubles.asking import BackendTransport

SETTINGS = ScriptedSettings(
    answers={"capital of France": "It is Paris.", "^say": "You said: {prompt}"}, failures=("break",), otherwise="Hm."
)


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    backend = Scripted("fake", SETTINGS)
    await backend.open()
    http = httpx.AsyncClient(transport=BackendTransport(backend))
    async with openai.AsyncOpenAI(base_url="http://engine/v1", api_key="none", http_client=http, max_retries=0) as made:
        yield made
    await backend.aclose()


def ask(client: openai.AsyncOpenAI, text: str, **fields: Any) -> Any:
    return client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": text}], **fields)


async def test_the_first_expression_that_matches_decides_the_answer(client: openai.AsyncOpenAI) -> None:
    texts = ["What is the capital of France?", "say hello", "anything else"]
    answers = [(await ask(client, text)).choices[0].message.content for text in texts]
    assert answers == ["It is Paris.", "You said: say hello", "Hm."]


async def test_an_answer_arrives_word_by_word_with_its_usage(client: openai.AsyncOpenAI) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await ask(client, "the capital of France", **options)]
    assert [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content] == [
        "It",
        " is",
        " Paris.",
    ]
    assert [(c.usage.prompt_tokens, c.usage.completion_tokens) for c in chunks if c.usage] == [(4, 3)]


async def test_an_answer_ends_at_its_limit(client: openai.AsyncOpenAI) -> None:
    choice = (await ask(client, "the capital of France", max_tokens=2)).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("It is", "length")


async def test_a_message_can_be_made_to_fail(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(client, "break now")
    assert caught.value.status_code == 502


def test_a_wrong_expression_is_a_mistake_of_the_configuration() -> None:
    (problem,) = check(ScriptedSettings(answers={"(": "no"}), Path())
    assert problem.where == "answers"
    assert "'('" in problem.what
