"""A request for a response in the words of chat, and what chat has no words for."""

import json
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.wire.responses.as_chat import chat_body

IMAGE_FILE = {"type": "input_image", "file_id": "f"}
IMAGE = {"type": "input_image", "image_url": "u"}
FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


def chat(**fields: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(chat_body(json.dumps({"model": "m", "input": "Hi", **fields}).encode()))
    return told


def messages(*items: dict[str, Any], **fields: Any) -> Any:
    return chat(input=list(items), **fields)["messages"]


def test_a_text_and_instructions_are_two_messages() -> None:
    assert chat(instructions="Be brief.") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


def test_what_both_sides_know_goes_on_as_it_is_and_what_is_said_back_stays_here() -> None:
    shared = {"temperature": 0.5, "top_p": 0.9, "user": "u", "top_k": 3, "seed": 1, "service_tier": "flex"}
    stay = {"metadata": {"a": "b"}, "store": False, "truncation": "auto", "max_output_tokens": 9, "background": False}

    assert chat(**shared, **stay) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **shared}


def test_a_stream_is_asked_for_its_usage() -> None:
    assert chat(stream=True)["stream_options"] == {"include_usage": True}


def test_parts_become_chats_parts() -> None:
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_file", "file_data": "AA==", "filename": "a.pdf"},
    ]

    assert messages({"role": "user", "content": parts}) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}},
            ],
        }
    ]


def test_the_items_of_one_answer_are_one_message() -> None:
    told = messages(
        {"role": "developer", "content": "Use tools."},
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "Two calls."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One moment."}]},
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "weather",
            "arguments": '{"in":"Oslo"}',
            "status": "completed",
        },
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": '{"in":"Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "sun"}]},
        {"role": "user", "content": "Thanks"},
    )

    def call(id: str, arguments: str) -> dict[str, Any]:
        return {"id": id, "type": "function", "function": {"name": "weather", "arguments": arguments}}

    assert told == [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Weather in Oslo and Rome?"},
        {
            "role": "assistant",
            "reasoning_content": "Two calls.",
            "content": "One moment.",
            "tool_calls": [call("c1", '{"in":"Oslo"}'), call("c2", '{"in":"Rome"}')],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "sun"},
        {"role": "user", "content": "Thanks"},
    ]


def test_two_answers_in_a_row_stay_two_and_a_call_alone_has_no_content() -> None:
    assert messages(
        {"role": "assistant", "content": "One."},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Go"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    )[-1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert messages({"role": "assistant", "content": "One."}, {"role": "assistant", "content": "Two."}) == [
        {"role": "assistant", "content": "One."},
        {"role": "assistant", "content": "Two."},
    ]


def test_functions_are_told_and_chosen_in_chats_form() -> None:
    told = chat(
        tools=[{**FUNCTION, "description": None, "allowed_callers": ["direct"], "async": False}],
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
    )

    assert told["tools"] == [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}
    ]
    assert told["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert told["parallel_tool_calls"] is False
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
    assert chat(tools=[FUNCTION], tool_choice=allowed)["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]},
    }


def test_a_choice_without_tools_is_left_out() -> None:
    assert set(chat(tool_choice="none", parallel_tool_calls=True, tools=[])) == {"model", "messages"}


def test_formats_reasoning_and_log_probabilities_have_their_old_names() -> None:
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True}

    told = chat(
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )

    assert told["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
    }
    assert (told["verbosity"], told["reasoning_effort"]) == ("low", "low")
    assert (told["logprobs"], told["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"tools": [FUNCTION, {"type": "file_search", "vector_store_ids": ["v"]}]}, "tools[1].type"),
        ({"tools": [{**FUNCTION, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "web_search_preview"}}, "tool_choice"),
        ({"input": []}, "input"),
        ({"input": None}, "input"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [IMAGE_FILE]}]}, "input[0].content[0].file_id"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [IMAGE]}]},
            "input[0].output[0].type",
        ),
        ({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]}, "input[0].encrypted_content"),
        ({"input": [{"type": "function_call", "call_id": 7}]}, "input[0].call_id"),
        ({"input": ["a"]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 7}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "reasoning", "summary": [{"type": 7}]}]}, "input[0].type"),
        ({"tools": [FUNCTION], "tool_choice": 5}, "tool_choice"),
    ],
)  # fmt: skip
def test_what_chat_cannot_say_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        chat(**fields)
    assert refused.value.param == param


def test_a_text_as_prompt_is_sent_to_input() -> None:
    with pytest.raises(BadRequest, match=r"object with the id of a template\. Send a text as 'input'"):
        chat_body(b'{"model":"m","prompt":"Hello","input":"Hello"}')
