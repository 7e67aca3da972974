"""What an engine's pieces become for the client."""

import json
from typing import Any

import pytest

from gateway.ask import Endpoint
from gateway.errors import BackendFailed, BadRequest, ContextTooLong, NotReady
from gateway.wire.chat.answer import read_answer
from gateway.wire.engine.answer import BodyReader, Events
from gateway.wire.engine.ask import EngineAsk


def piece(**fields: Any) -> bytes:
    return json.dumps({"id": "chatcmpl-1", "created": 9, "model": "/secret/m.gguf", "timings": {}, **fields}).encode()


def delta(index: int = 0, finish: str | None = None, logprobs: Any = None, **said: Any) -> dict[str, Any]:
    return {"index": index, "delta": said, "finish_reason": finish, "logprobs": logprobs}


def usage(prompt: int, completion: int, **fields: Any) -> bytes:
    return piece(usage={"prompt_tokens": prompt, "completion_tokens": completion}, **{"choices": [], **fields})


PIECES = [
    piece(choices=[delta(role="assistant", content=None)]),
    piece(choices=[delta(content="Hel")]),
    piece(choices=[delta(content="lo")]),
    piece(choices=[delta(finish="stop")]),
    usage(5, 2),
]


def chat(**fields: Any) -> EngineAsk:
    return EngineAsk(Endpoint.CHAT, b"", **fields)


def joined(ask: EngineAsk, pieces: list[bytes]) -> Any:
    body = BodyReader(ask, "small")
    for one in pieces:
        body.add(one)
    return json.loads(body.whole())


def streamed(ask: EngineAsk, pieces: list[bytes]) -> list[Any]:
    events = Events(ask, "small")
    out = b"".join([*map(events.event, pieces), events.end()]).split(b"\n\n")
    assert out[-2:] == [b"data: [DONE]", b""]
    return [json.loads(event.removeprefix(b"data: ")) for event in out[:-2]]


def test_a_whole_body_is_the_pieces_joined_under_the_clients_name_for_the_model() -> None:
    assert joined(chat(), PIECES) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 9,
        "model": "small",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }


def test_a_stream_holds_no_usage_unless_asked_for() -> None:
    assert [event["choices"][0]["delta"] for event in streamed(chat(), PIECES)] == [
        {"role": "assistant", "content": ""},
        {"content": "Hel"},
        {"content": "lo"},
        {},
    ]
    *_, last = streamed(chat(include_usage=True), PIECES)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 7)


def test_the_records_read_the_same_text_from_both_forms() -> None:
    events = Events(chat(), "small")
    stream = b"".join([*map(events.event, PIECES), events.end()])
    assert read_answer(stream, "text/event-stream").text == "Hello"
    body = BodyReader(chat(), "small")
    for one in PIECES:
        body.add(one)
    assert read_answer(body.whole(), "application/json").text == "Hello"


def test_what_the_engine_found_in_its_cache_is_in_the_usage() -> None:
    def cached(tokens: int) -> bytes:
        used = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": tokens}}
        return piece(usage=used, choices=[])

    whole = joined(chat(), [*PIECES[:-1], cached(4)])
    several = joined(chat(choices=2), [*PIECES[:-1], cached(0), cached(5)])

    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}
    assert several["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}, "the first answer read the prompt"


def test_the_usages_of_several_choices_become_one() -> None:
    pieces = [
        piece(choices=[delta(1, content="b")]),
        usage(5, 1),
        piece(choices=[delta(0, content="a")]),
        usage(5, 3),
    ]
    whole = joined(chat(choices=2), pieces)
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["a", "b"]
    assert whole["usage"] == {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}


def test_each_prompt_of_a_completion_counts_once() -> None:
    ask = EngineAsk(Endpoint.COMPLETION, b"", choices=2, prompts=2)
    pieces = [b"null"] + [
        usage(5 if index < 2 else 3, 1, choices=[{"index": index, "text": "x", "finish_reason": "stop"}])
        for index in range(4)
    ]
    whole = joined(ask, pieces)
    assert (whole["id"], whole["object"]) == ("cmpl-1", "text_completion")
    assert whole["usage"] == {"prompt_tokens": 8, "completion_tokens": 4, "total_tokens": 12}


def test_tool_calls_grow_from_their_pieces() -> None:
    def call(**fields: Any) -> bytes:
        return piece(choices=[delta(tool_calls=[{"index": 0, **fields}])])

    pieces = [
        call(id="c1", type="function", function={"name": "weather", "arguments": '{"ci'}),
        call(function={"arguments": 'ty":"Rome"}'}),
        piece(choices=[delta(finish="tool_calls")]),
    ]
    assert joined(chat(), pieces)["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        ],
    }
    assert streamed(chat(), pieces)[1]["choices"][0]["delta"] == {
        "tool_calls": [{"index": 0, "function": {"arguments": 'ty":"Rome"}'}}]
    }


def logprobs(token: str) -> dict[str, Any]:
    top = [{"token": token, "logprob": -0.1, "bytes": [1]}, {"token": "z", "logprob": -2.0, "bytes": [2]}]
    return {"content": [{"id": 1, "token": token, "logprob": -0.1, "bytes": [1], "top_logprobs": top}]}


def test_legacy_log_probabilities_keep_their_offsets_across_a_stream() -> None:
    ask = EngineAsk(Endpoint.COMPLETION, b"", top_logprobs=1)
    pieces = [piece(choices=[{"index": 0, "text": text, "logprobs": logprobs(text)}]) for text in ("ab", "c")]
    legacy = [event["choices"][0]["logprobs"] for event in streamed(ask, pieces)]
    assert legacy == [
        {"tokens": ["ab"], "token_logprobs": [-0.1], "top_logprobs": [{"ab": -0.1}], "text_offset": [0]},
        {"tokens": ["c"], "token_logprobs": [-0.1], "top_logprobs": [{"c": -0.1}], "text_offset": [2]},
    ]
    assert joined(ask, pieces)["choices"][0]["logprobs"]["text_offset"] == [0, 2]


def test_chat_log_probabilities_without_alternatives_list_none() -> None:
    (event,) = streamed(chat(top_logprobs=0), [piece(choices=[delta(content="a", logprobs=logprobs("a"))])])
    assert event["choices"][0]["logprobs"] == {
        "content": [{"token": "a", "logprob": -0.1, "bytes": [1], "top_logprobs": []}],
        "refusal": None,
    }


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ({"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}, ContextTooLong, 400),
        ({"code": 400, "message": "no", "type": "invalid_request_error"}, BadRequest, 400),
        ({"code": 503, "message": "loading"}, NotReady, 503),
        ({"code": 500, "message": "out of room"}, BackendFailed, 502),
    ],
)
def test_the_engines_errors_are_told_in_openais_words(fault: Any, error: type[Exception], status: int) -> None:
    with pytest.raises(error) as raised:
        Events(chat(), "small").event(json.dumps({"error": fault}).encode())
    assert raised.value.status == status  # type: ignore[attr-defined]  # all four are RequestErrors


CALLED = [
    piece(choices=[delta(role="assistant", content=None)]),
    piece(choices=[delta(content='{"name": "add",')]),
    piece(choices=[delta(content=' "arguments": {"a": 1}}')]),
    piece(choices=[delta(finish="stop")]),
]


def test_the_json_of_a_required_call_is_a_tool_call() -> None:
    choice = joined(chat(is_call=True), CALLED)["choices"][0]

    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["function"] == {"name": "add", "arguments": '{"a":1}'}
    assert call["id"].startswith("call_")


def test_the_json_of_a_required_call_is_streamed_as_one_call() -> None:
    events = streamed(chat(is_call=True), CALLED)

    choices = [choice for event in events for choice in event["choices"]]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    assert [call["function"] for call in calls] == [{"name": "add", "arguments": '{"a":1}'}]
    assert not any(choice["delta"].get("content") for choice in choices)
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_a_required_call_that_was_cut_off_stays_a_text() -> None:
    cut = [*CALLED[:2], piece(choices=[delta(finish="length")])]
    choice = joined(chat(is_call=True), cut)["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"name": "add",', "length")
    assert streamed(chat(is_call=True), cut)[-1]["choices"][-1]["finish_reason"] == "length"
