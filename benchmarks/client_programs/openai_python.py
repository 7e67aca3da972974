"""openai-python against the gateway."""

import asyncio
import io
import json
import time

import openai
from cells import BOTH, EMBEDDING, FRANCE, MODEL, PICTURE, REFUSED, URL, WEATHER, is_local, paris, run
from pydantic import BaseModel

client = openai.OpenAI(base_url=URL, api_key="none", max_retries=0, timeout=120)
ASK = {"model": MODEL, "messages": [{"role": "user", "content": FRANCE}], "temperature": 0, "max_tokens": 30}
TOOLS = [{"type": "function", "function": WEATHER}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": WEATHER["parameters"]}}


class City(BaseModel):
    city: str


def chat(**fields):
    return client.chat.completions.create(**{**ASK, **fields})


def content(reply):
    return reply.choices[0].message.content


def stream():
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    paris("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices))
    assert any(chunk.usage and chunk.usage.completion_tokens for chunk in chunks)


def helper():
    with client.chat.completions.stream(**ASK) as events:
        for _ in events:
            pass
        paris(content(events.get_final_completion()))


def in_asyncio():
    async def ask():
        async with openai.AsyncOpenAI(base_url=URL, api_key="none", max_retries=0, timeout=120) as other:
            paris(content(await other.chat.completions.create(**ASK)))
            events = await other.chat.completions.create(**ASK, stream=True)
            paris("".join([c.choices[0].delta.content or "" async for c in events if c.choices]))

    asyncio.run(ask())


def several():
    reply = chat(n=2, logprobs=True, top_logprobs=2)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert reply.choices[1].logprobs.content


def json_object():
    said = 'What is the capital of France? Answer as JSON, such as {"capital": "Rome"}.'
    fields = {"messages": [{"role": "user", "content": said}], "response_format": {"type": "json_object"}}
    assert isinstance(json.loads(content(chat(**fields, max_tokens=400))), dict)


def parse():
    reply = client.chat.completions.parse(**{**ASK, "max_tokens": 200}, response_format=City)
    assert isinstance(reply.choices[0].message.parsed, City)


def required(tools=TOOLS, choice="required"):
    reply = chat(tools=tools, tool_choice=choice, max_tokens=100)
    call = reply.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")
    assert reply.choices[0].finish_reason in ("tool_calls", "stop"), reply.choices[0].finish_reason
    return call


def streamed_call():
    named = {"type": "function", "function": {"name": "weather"}}
    with client.chat.completions.stream(**{**ASK, "max_tokens": 100}, tools=TOOLS, tool_choice=named) as events:
        call = events.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments)["city"] in ("Paris", "Rome")


def loop():
    call = required()
    turns = [*ASK["messages"], {"role": "assistant", "tool_calls": [call.model_dump()]}]
    turns.append({"role": "tool", "tool_call_id": call.id, "content": "7 degrees"})
    assert content(chat(messages=turns, tools=TOOLS))


def respond(**fields):
    fields = {"input": FRANCE, "max_output_tokens": 30, "temperature": 0, **fields}
    return client.responses.create(model=MODEL, **fields)


def respond_in_events():
    events = list(respond(stream=True))
    assert events[-1].type in ("response.completed", "response.incomplete")
    paris("".join(event.delta for event in events if event.type == "response.output_text.delta"))


def respond_with_tool():
    tool = {"type": "function", **WEATHER, "strict": True}
    reply = respond(tools=[tool], tool_choice="required", max_output_tokens=100)
    assert json.loads(reply.output[0].arguments)["city"] in ("Paris", "Rome")


def respond_again():
    first = respond()
    again = respond(previous_response_id=first.id, input="And of Italy?")
    assert again.output_text
    assert again.previous_response_id == first.id


def embed(given=("one", "two"), **fields):
    reply = client.embeddings.create(model=EMBEDDING, input=list(given), **fields)
    assert [entry.index for entry in reply.data] == list(range(len(reply.data)))
    assert any(reply.data[0].embedding)


def stores():
    store = client.vector_stores.create(name="cities")
    file = client.files.create(file=("a.txt", io.BytesIO(b"Paris is the capital of France.")), purpose="assistants")
    batch = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
    assert batch.status == "completed", batch.last_error
    paris(client.vector_stores.search(store.id, query=FRANCE).data[0].content[0].text)
    assert client.vector_stores.delete(store.id).deleted


def user(content):
    return [{"role": "user", "content": content}]


def parallel():
    calls = chat(messages=user(BOTH), tools=TOOLS, tool_choice="required").choices[0].message.tool_calls
    assert len({call.id for call in calls}) == 2
    with client.chat.completions.stream(
        **{**ASK, "messages": user(BOTH)}, tools=TOOLS, tool_choice="required"
    ) as events:
        calls = events.get_final_completion().choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Paris"]


def image():
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    paris(content(chat(messages=user([{"type": "text", "text": "Which city is in the picture?"}, picture]))))
    parts = [
        {"type": "input_text", "text": "Which city is in the picture?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"},
    ]
    paris(respond(input=user(parts)).output_text)


def thinking():
    message = chat(reasoning_effort="low").choices[0].message
    assert message.reasoning_content
    paris(message.content)
    items = respond(reasoning={"effort": "low"}).output
    assert [item.type for item in items] == ["reasoning", "message"]


def refused():
    for ask in (lambda: chat(messages=user(REFUSED)), lambda: list(chat(messages=user(REFUSED), stream=True))):
        try:
            ask()
        except openai.RateLimitError as error:
            assert error.code == "rate_limit_exceeded" or error.body, error.body
        else:
            raise AssertionError("no error")


def mistaken():
    for ask, kind in (
        (lambda: chat(messages=[]), openai.BadRequestError),
        (lambda: chat(model="nobody"), openai.NotFoundError),
        (lambda: respond(tools=[{"type": "function"}]), openai.BadRequestError),
        (lambda: client.files.retrieve("file-unknown"), openai.NotFoundError),
    ):
        try:
            ask()
        except kind as error:
            assert error.message
        else:
            raise AssertionError("no error")


def cancelled():
    stream = chat(stream=True, max_tokens=200)
    next(iter(stream))
    stream.close()
    paris(content(chat()))


def batch():
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": ASK}
    file = client.files.create(file=("lines.jsonl", json.dumps(line).encode()), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    for _ in range(600):
        made = client.batches.retrieve(made.id)
        if made.status in ("completed", "failed", "expired"):
            break
        time.sleep(0.2)
    assert made.status == "completed", made.status
    paris(client.files.content(made.output_file_id).text)


def upload():
    content = b"Rome is the capital of Italy."
    made = client.uploads.create(bytes=len(content), filename="b.txt", mime_type="text/plain", purpose="assistants")
    part = client.uploads.parts.create(made.id, data=content)
    assert client.uploads.complete(made.id, part_ids=[part.id]).file.bytes == len(content)


def over_a_websocket():
    with client.responses.connect() as connection:
        connection.response.create(model=MODEL, input=FRANCE, temperature=0, max_output_tokens=30)
        for event in connection:
            if event.type in ("response.completed", "response.incomplete", "error"):
                break
    paris(event.response.output_text)


SCRIPTED = {} if is_local() else {"parallel tools": parallel, "image": image, "thinking": thinking, "error": refused}
run(
    {
        **SCRIPTED,
        "models": lambda: MODEL in [card.id for card in client.models.list()] or paris("not listed"),
        "chat": lambda: paris(content(chat())),
        "max_completion_tokens": lambda: content(chat(max_tokens=openai.omit, max_completion_tokens=5)),
        "stream with usage": stream,
        "stream() helper": helper,
        "asyncio": in_asyncio,
        "n, logprobs": several,
        "completions": lambda: client.completions.create(model=MODEL, prompt="One, two,", max_tokens=4).choices[0].text,
        "json_object": json_object,
        "json_schema": lambda: City.model_validate_json(content(chat(response_format=SCHEMA, max_tokens=100))),
        "parse()": parse,
        "tool required": required,
        "tool by name, streamed": streamed_call,
        "tool loop": loop,
        "responses": lambda: paris(respond().output_text),
        "responses stream": respond_in_events,
        "responses parse()": lambda: City.model_validate(
            client.responses.parse(model=MODEL, input=FRANCE, text_format=City, max_output_tokens=200).output_parsed
        ),
        "responses tool": respond_with_tool,
        "responses previous_response_id": respond_again,
        "responses reasoning.encrypted_content": lambda: paris(
            respond(include=["reasoning.encrypted_content"], store=False).output_text
        ),
        "embeddings": embed,
        "embeddings of token ids": lambda: embed([[15339, 1917], [2500]]),
        "embeddings, dimensions": lambda: embed(dimensions=64),
        "files and vector stores": stores,
        "uploads": upload,
        "batch": batch,
        "errors": mistaken,
        "cancel": cancelled,
        "responses over a WebSocket": over_a_websocket,
    }
)
