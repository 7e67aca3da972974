"""LiteLLM as a client of the gateway."""

import json

import litellm
from cells import BOTH, EMBEDDING, FRANCE, MODEL, PICTURE, REFUSED, URL, WEATHER, is_local, paris, run

litellm.telemetry = False
COMMON = {"model": f"openai/{MODEL}", "api_base": URL, "api_key": "none", "num_retries": 0, "timeout": 120}
ASK = {**COMMON, "messages": [{"role": "user", "content": FRANCE}], "temperature": 0, "max_tokens": 100}
TOOLS = [{"type": "function", "function": WEATHER}]


def called():
    reply = litellm.completion(**ASK, tools=TOOLS, tool_choice="required")
    assert json.loads(reply.choices[0].message.tool_calls[0].function.arguments)["city"] in ("Paris", "Rome")


CLAUDE = {**ASK, "model": f"anthropic/{MODEL}", "api_base": URL.removesuffix("/v1")}


def user(content):
    return {**ASK, "messages": [{"role": "user", "content": content}]}


def parallel():
    reply = litellm.completion(**user(BOTH), tools=TOOLS, tool_choice="required")
    assert len(reply.choices[0].message.tool_calls) == 2


def image():
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    question = {"type": "text", "text": "Which city is in the picture?"}
    paris(litellm.completion(**user([question, picture])).choices[0].message.content)


def refused():
    try:
        litellm.completion(**user(REFUSED))
    except litellm.RateLimitError:
        return
    raise AssertionError("no error")


SCRIPTED = {} if is_local() else {"parallel tools": parallel, "image": image, "error": refused}
run(
    {
        **SCRIPTED,
        "anthropic: message": lambda: paris(litellm.completion(**CLAUDE).choices[0].message.content),
        "anthropic: message in a stream": lambda: paris(
            "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**CLAUDE, stream=True))
        ),
        "completion": lambda: paris(litellm.completion(**ASK).choices[0].message.content),
        "stream": lambda: paris(
            "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**ASK, stream=True))
        ),
        "tool": called,
        "embedding": lambda: any(
            litellm.embedding(**{**COMMON, "model": f"openai/{EMBEDDING}"}, input=["one"]).data[0]["embedding"]
        ),
        "responses": lambda: paris(litellm.responses(**COMMON, input=FRANCE, temperature=0).output[-1].content[0].text),
    }
)
