"""The Python client of Anthropic's API against the gateway, whose models speak chat."""

import anthropic
from cells import BOTH, FRANCE, MODEL, PICTURE, REFUSED, URL, WEATHER, is_local, paris, run

CLIENT = anthropic.Anthropic(base_url=URL.removesuffix("/v1"), api_key="none", max_retries=0, timeout=120)
ASK = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": FRANCE}]}
TOOLS = [{"name": "weather", "description": WEATHER["description"], "input_schema": WEATHER["parameters"]}]
GREEDY = {"temperature": 0}


def create(**more):
    return CLIENT.messages.create(**{**ASK, "extra_body": GREEDY} | more)


def stream():
    with CLIENT.messages.stream(**ASK, extra_body=GREEDY) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    paris(text)
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0 and final.usage.input_tokens > 0


def raw_stream():
    kinds = [event.type for event in create(stream=True)]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop", kinds


def tool_loop():
    answer = create(tools=TOOLS, tool_choice={"type": "tool", "name": "weather"})
    use = next(block for block in answer.content if block.type == "tool_use")
    assert use.input["city"] in ("Paris", "Rome") and answer.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}
    turns = [*ASK["messages"], {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    assert create(messages=turns, tools=TOOLS, tool_choice={"type": "none"}).content[0].type == "text"


def tool_in_a_stream():
    with CLIENT.messages.stream(**ASK, tools=TOOLS, tool_choice={"type": "any"}, extra_body=GREEDY) as events:
        final = events.get_final_message()
    assert next(block for block in final.content if block.type == "tool_use").input["city"] in ("Paris", "Rome")


def schema():
    form = {"format": {"type": "json_schema", "schema": WEATHER["parameters"]}}
    text = create(output_config=form).content[0].text
    assert '"city"' in text, text


def refused():
    try:
        create(messages=[])
    except anthropic.BadRequestError as error:
        assert error.body["error"]["type"] == "invalid_request_error"
    else:
        raise AssertionError("no refusal")


def user(content):
    return [{"role": "user", "content": content}]


def parallel():
    uses = [block for block in create(messages=user(BOTH), tools=TOOLS, tool_choice={"type": "any"}).content]
    assert len({use.id for use in uses if use.type == "tool_use"}) == 2


def image():
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "Which city is in the picture?"}]
    paris(create(messages=user(parts)).content[0].text)


def thinking():
    effort = {"output_config": {"effort": "low"}, "thinking": {"type": "adaptive"}, "max_tokens": 2000}
    first, second = create(**effort).content
    assert first.type == "thinking" and first.thinking
    paris(second.text)
    with CLIENT.messages.stream(**ASK | effort) as events:
        assert [block.type for block in events.get_final_message().content] == ["thinking", "text"]


def limited():
    try:
        create(messages=user(REFUSED))
    except anthropic.RateLimitError as error:
        assert error.body["error"]["message"]
    else:
        raise AssertionError("no error")


def cancelled():
    with CLIENT.messages.stream(**ASK, extra_body=GREEDY) as events:
        next(iter(events))
    paris(create().content[0].text)


SCRIPTED = {} if is_local() else {"parallel tools": parallel, "image": image, "thinking": thinking, "error": limited}
run(
    {
        **SCRIPTED,
        "cancel": cancelled,
        "message": lambda: paris(create().content[0].text),
        "system blocks": lambda: paris(create(system=[{"type": "text", "text": "Be brief."}]).content[0].text),
        "stream()": stream,
        "stream=True": raw_stream,
        "tool, and its result": tool_loop,
        "tool in a stream": tool_in_a_stream,
        "output_config.format": schema,
        "beta": lambda: paris(CLIENT.beta.messages.create(**ASK, betas=["x-1"], extra_body=GREEDY).content[0].text),
        "count_tokens": lambda: (
            CLIENT.messages.count_tokens(model=MODEL, messages=ASK["messages"]).input_tokens > 3 or 1 / 0
        ),
        "models": lambda: [model.id for model in CLIENT.models.list()].index(MODEL),
        "refusal": refused,
    }
)
