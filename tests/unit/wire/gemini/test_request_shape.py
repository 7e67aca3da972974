"""Requests for Gemini have the shape of Google's own types, and a wrong field is refused or passed on."""

import json
from typing import Any

import pytest
from google.genai import types

from gateway.errors import BadRequest, RequestError
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.chat.request import read_request
from gateway.wire.gemini import as_completion, embeddings, errors
from gateway.wire.gemini.of_chat import generate_body
from gateway.wire.gemini.signatures import parts_of_id, signed_id
from gateway.wire.messages.as_chat import chat_body
from gateway.wire.messages.losses import Losses
from tests.unit.wire.messages.test_mutated import body, encoded, mutated, reply

HEAD = CompletionHead("chatcmpl-fw-1", "m", 7)
MODEL = "gemini-3-pro"


def translated(request: Any, model: str = MODEL) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    made: dict[str, Any] = json.loads(generate_body(read_request(encoded({"model": "m", **request})), model, losses))
    note = losses.note()
    return made, list(note.data["left_out"]) if note else []


def of_google(request: dict[str, Any]) -> None:
    """Fails if a part of the request is not of Google's types, which forbid unknown fields."""
    for content in [*request["contents"], *([request["systemInstruction"]] if "systemInstruction" in request else [])]:
        types.Content.model_validate(content)
    types.GenerationConfig.model_validate(request.get("generationConfig", {}))
    for tool in request.get("tools", []):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(request.get("toolConfig", {}))


@pytest.mark.parametrize("case", ["gemini-chat", "tools-and-tool-results", "logprobs"])
def test_requests_have_the_shape_of_googles_types(case: str) -> None:
    of_google(translated(body(case))[0])


def test_a_messages_request_has_the_shape_of_googles_types_and_keeps_its_thinking_budget() -> None:
    request = chat_body(encoded(body("messages-translated")).replace(b"BB==", b"BA=="), Losses(), extended=True)
    made = json.loads(generate_body(request, MODEL, Losses()))

    of_google(made)


def test_a_wrong_field_of_a_request_is_refused_or_passed_on() -> None:
    for wrong in mutated(body("gemini-chat")):
        try:
            generate_body(read_request(encoded(wrong)), MODEL, Losses())
        except RequestError as error:
            assert error.status == 400 and error.message


def test_a_wrong_field_of_an_answer_is_a_failure_of_the_backend_or_read() -> None:
    answer = reply("gemini-chat")
    types.GenerateContentResponse.model_validate(answer)
    for wrong in mutated(answer):
        try:
            as_completion.whole(encoded(wrong), HEAD, Losses())
        except RequestError as error:
            assert error.status >= 400 and error.message


def test_a_wrong_field_of_a_refusal_or_of_embeddings_is_read() -> None:
    for wrong in mutated(reply("gemini-refused-429")):
        assert 400 <= errors.refusal(encoded(wrong), 429).status < 600
    request = encoded(body("gemini-embeddings"))
    for wrong in mutated(reply("gemini-embeddings")):
        try:
            embeddings.list_of(encoded(wrong), request, "m", Losses())
        except RequestError as error:
            assert error.status == 502
    for wrong in mutated(body("gemini-embeddings")):
        for make in (
            lambda raw: embeddings.batch_body(raw, "m", Losses()),
            lambda raw: embeddings.predict_body(raw, Losses()),
        ):
            try:
                make(encoded(wrong))
            except RequestError as error:
                assert error.status == 400


@pytest.mark.parametrize(
    ("model", "fields", "config"),
    [
        ("gemini-3-pro", {"reasoning_effort": "low"}, {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("gemini-2.5-flash", {"reasoning_effort": "low"}, {"includeThoughts": True, "thinkingBudget": 1024}),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        (
            "gemini-3-pro",
            {"thinking": {"type": "enabled", "budget_tokens": 99}},
            {"includeThoughts": True, "thinkingBudget": 99},
        ),
        ("gemini-3-pro", {"thinking": {"type": "adaptive"}}, {"includeThoughts": True}),
        ("gemini-3-pro", {"thinking": {"type": "disabled"}}, {"thinkingLevel": "LOW"}),
        (
            "gemini-3-pro",
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}},
            {"thinkingLevel": "HIGH"},
        ),
        ("gemini-2.5-pro", {"reasoning_effort": "none"}, {"thinkingBudget": 128}),
        ("gemini-3-flash", {"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingLevel": "MINIMAL"}),
        ("gemini-3-pro", {"reasoning_effort": "minimal"}, {"includeThoughts": True, "thinkingLevel": "LOW"}),
        ("gemini-3-pro", {}, None),
    ],
)
def test_reasoning_is_asked_for_as_the_model_takes_it(model: str, fields: Any, config: Any) -> None:
    made, _ = translated({"messages": [{"role": "user", "content": "a"}], **fields}, model)

    assert made.get("generationConfig", {}).get("thinkingConfig") == config


@pytest.mark.parametrize("signature", ["QUJD+/8=", "QUI=", "QQ==", "QUJD", "+/+/"])
def test_a_signature_survives_in_the_id_of_a_call(signature: str) -> None:
    id = signed_id("fc-1", signature)

    assert parts_of_id(id) == ("fc-1", signature)
    assert all(char.isalnum() or char in "-_" for char in id)


def test_an_unsigned_call_of_another_model_is_marked_for_models_that_want_a_signature() -> None:
    call = {"id": "call_abc", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "call_d"}]},
        {"role": "tool", "tool_call_id": "call_abc", "content": "r"},
    ]
    new, lost = translated({"messages": talk})
    old, _ = translated({"messages": talk}, "gemini-2.5-pro")

    signatures = [part.get("thoughtSignature") for part in new["contents"][1]["parts"]]
    assert signatures == ["skip_thought_signature_validator", None]
    assert "signature of a call" in lost
    assert "thoughtSignature" not in json.dumps(old)


def test_signed_reasoning_of_another_provider_is_left_out_with_a_note() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "of-claude"}]
    talk = [{"role": "assistant", "content": "b", "thinking_blocks": blocks}, {"role": "user", "content": "a"}]

    made, lost = translated({"messages": talk})

    assert made["contents"][0]["parts"] == [{"text": "b"}]
    assert lost == ["reasoning_content"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"response_format": {"type": "grammar"}}, "response_format.type"),
        ({"tool_choice": "sometimes", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tool_choice"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "critic", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            "messages[0].content[0].file",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "x"}}]}
                ]
            },
            "messages[0].content[0].input_audio.format",
        ),
        ({"generationConfig": 7}, "generationConfig"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_its_name(fields: Any, param: str) -> None:
    with pytest.raises(BadRequest) as told:
        translated({"messages": [{"role": "user", "content": "a"}], **fields})
    assert told.value.param == param
