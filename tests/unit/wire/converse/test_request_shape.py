"""Requests for Bedrock have the shape of AWS's own model of the API, and a wrong field is refused or passed on."""

import base64
import json
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from gateway.errors import BadRequest, RequestError
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.chat.request import read_request
from gateway.wire.converse import as_completion, errors
from gateway.wire.converse.blocks import tool_id
from gateway.wire.converse.of_chat import converse_body, vendor_of
from gateway.wire.messages.as_chat import chat_body
from gateway.wire.messages.losses import Losses
from tests.unit.wire.messages.test_mutated import body, encoded, mutated, reply

HEAD = CompletionHead("chatcmpl-fw-1", "m", 7)
CLAUDE, NOVA, LLAMA = "us.anthropic.claude-sonnet-4-5", "eu.amazon.nova-pro-v1:0", "meta.llama3-70b-instruct-v1:0"
ASKED = [{"role": "user", "content": "a"}]


@cache
def model_of_the_api() -> Any:
    session = botocore.session.get_session()
    return session.get_service_model("bedrock-runtime").operation_model("ConverseStream").input_shape


def of_aws(request: Any) -> None:
    """Fails if the request is not of AWS's model, which the official client checks in the same way."""
    report = ParamValidator().validate({"modelId": "m", **_with_bytes(request)}, model_of_the_api())
    assert not report.has_errors(), report.generate_report()


def _with_bytes(value: Any) -> Any:
    # the official client takes bytes, and encodes them as base64
    if isinstance(value, dict):
        blobs = ("bytes", "redactedContent")
        return {name: base64.b64decode(each) if name in blobs else _with_bytes(each) for name, each in value.items()}
    return [_with_bytes(each) for each in value] if isinstance(value, list) else value


def translated(request: Any, model: str = CLAUDE) -> tuple[dict[str, Any], list[str]]:
    losses = Losses()
    made: dict[str, Any] = json.loads(converse_body(read_request(encoded({"model": "m", **request})), model, losses))
    note = losses.note()
    return made, list(note.data["left_out"]) if note else []


@pytest.mark.parametrize("case", ["bedrock-chat", "tools-and-tool-results"])
@pytest.mark.parametrize("model", [CLAUDE, NOVA, LLAMA])
def test_requests_have_the_shape_of_awss_model(case: str, model: str) -> None:
    of_aws(translated(body(case), model)[0])


def test_a_messages_request_has_the_shape_of_awss_model_and_keeps_its_marks_and_its_thinking() -> None:
    request = chat_body(encoded(body("bedrock-messages")), Losses(), extended=True)
    made = json.loads(converse_body(request, CLAUDE, Losses()))

    of_aws(made)
    assert json.dumps(made).count("cachePoint") == encoded(body("bedrock-messages")).count(b"cache_control")


def test_a_wrong_field_of_a_request_is_refused_or_passed_on() -> None:
    for wrong in mutated(body("bedrock-chat")):
        try:
            converse_body(read_request(encoded(wrong)), CLAUDE, Losses())
        except RequestError as error:
            assert error.status == 400 and error.message


@pytest.mark.parametrize("case", ["bedrock-chat", "bedrock-messages"])
def test_a_wrong_field_of_an_answer_is_a_failure_of_the_backend_or_read(case: str) -> None:
    for wrong in mutated(reply(case)):
        try:
            as_completion.whole(encoded(wrong), HEAD, Losses())
        except RequestError as error:
            assert error.status >= 400 and error.message


@pytest.mark.parametrize(
    ("status", "header", "told"),
    [
        (429, b"ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", 429),
        (400, b"ServiceQuotaExceededException", 429),
        (429, b"ModelNotReadyException", 503),
        (424, b"ModelErrorException", 502),
        (408, b"ModelTimeoutException", 504),
        (403, b"ExpiredTokenException", 401),
        (403, b"AccessDeniedException", 403),
        (418, b"TeapotException", 418),
        (500, b"", 500),
    ],
)
def test_an_exception_gets_the_status_that_clients_know(status: int, header: bytes, told: int) -> None:
    refusal = errors.refusal(b'{"message":"Why."}', status, {b"x-amzn-errortype": header})
    error = json.loads(refusal.body)["error"]

    assert refusal.status == told
    assert error["message"] == "Why."
    assert error["code"] == (header.decode().partition(":")[0] or None)


@pytest.mark.parametrize("wrong", [b"", b"[]", b'{"message":7}', b'{"__type":[]}', b"\xff"])
def test_a_refusal_of_any_form_is_read(wrong: bytes) -> None:
    assert errors.refusal(wrong, 500, {}).status == 500


@pytest.mark.parametrize(
    ("model", "vendor"),
    [
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "anthropic"),
        ("anthropic.claude-v2:1", "anthropic"),
        ("us-gov.amazon.nova-pro-v1:0", "amazon"),
        ("meta.llama3-70b", "meta"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123", ""),
        ("arn:aws:bedrock:us-east-1::foundation-model/mistral.mixtral-8x7b", "mistral"),
        ("my-own-name", ""),
    ],
)
def test_the_vendor_of_a_model_is_a_part_of_its_id(model: str, vendor: str) -> None:
    assert vendor_of(model) == vendor


def test_what_only_claude_models_take_is_left_out_for_others() -> None:
    request = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}
        ],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    claude, lost = translated(request)
    llama, lost_by_llama = translated(request, LLAMA)
    nova, lost_by_nova = translated(request, NOVA)

    assert claude["additionalModelRequestFields"] == {"thinking": request["thinking"]} and not lost
    assert claude["messages"][0]["content"] == [{"text": "a"}, {"cachePoint": {"type": "default"}}]
    assert llama == {"messages": [{"role": "user", "content": [{"text": "a"}]}]}
    assert lost_by_llama == ["thinking", "cache_control"]
    assert "cachePoint" in nova["messages"][0]["content"][1] and lost_by_nova == ["thinking"]


def test_tools_are_described_if_only_the_history_has_calls() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    talk = [
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": ""},
    ]
    made, lost = translated({"messages": talk})

    of_aws(made)
    assert [tool["toolSpec"]["name"] for tool in made["toolConfig"]["tools"]] == ["f"]
    assert "tools" in lost


def test_ids_of_other_providers_become_ids_that_bedrock_takes() -> None:
    long = "fc1__signed__" + "a" * 500
    talk = [
        *ASKED,
        {"role": "assistant", "tool_calls": [{"id": long, "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": long, "content": "r"},
    ]
    made, _ = translated({"messages": talk})

    of_aws(made)
    used = made["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    assert used == made["messages"][2]["content"][0]["toolResult"]["toolUseId"] == tool_id(long)
    assert len(used) == 64 and tool_id("tooluse_1") == "tooluse_1" and tool_id("ü") != tool_id("ö")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tool_choice": "sometimes", "tools": [{"type": "function", "function": {"name": "f"}}]}, "tool_choice"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "critic", "content": "a"}]}, "messages[0].role"),
        ({"metadata": {"a": 7}}, "metadata[...]"),
        ({"additionalModelRequestFields": 7}, "additionalModelRequestFields"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_its_name(fields: Any, param: str) -> None:
    with pytest.raises(BadRequest) as told:
        translated({"messages": ASKED, **fields})
    assert told.value.param == param


@pytest.mark.parametrize(
    ("role", "part", "param"),
    [
        ("user", {"type": "image_url", "image_url": {"url": "https://a/b.png"}}, "image_url.url"),
        ("user", {"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA=="}}, "image_url.url"),
        ("user", {"type": "file", "file": {"file_data": "data:image/x;base64,AA=="}}, "file.file_data"),
        ("user", {"type": "file", "file": {"file_id": "f"}}, "file"),
        ("user", {"type": "video"}, "type"),
        ("system", {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}, "type"),
    ],
)
def test_a_part_that_cannot_be_translated_is_refused_by_its_place(role: str, part: Any, param: str) -> None:
    with pytest.raises(BadRequest) as told:
        translated({"messages": [{"role": role, "content": [part]}]})
    assert told.value.param == f"messages[0].content[0].{param}"


def test_blank_texts_are_left_out_and_an_empty_result_says_so() -> None:
    call = {"id": "t1", "function": {"name": "f", "arguments": "{}"}}
    talk = [
        {"role": "system", "content": " "},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "\n \t"}]},
        {"role": "assistant", "content": "\n\n", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": ""},
        {"role": "user", "content": ""},
    ]
    made, lost = translated({"messages": talk})

    of_aws(made)
    assert "system" not in made
    assert [block for block in made["messages"][0]["content"]] == [{"text": "a"}]
    assert [list(block) for block in made["messages"][1]["content"]] == [["toolUse"]]
    assert made["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "(no output)"}]
    assert len(made["messages"]) == 3 and "an empty result of a tool" in lost
