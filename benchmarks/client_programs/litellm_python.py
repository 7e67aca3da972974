"""LiteLLM as a client of the gateway."""

import json

import litellm
from cells import EMBEDDING, FRANCE, MODEL, URL, WEATHER, paris, run

litellm.telemetry = False
COMMON = {"model": f"openai/{MODEL}", "api_base": URL, "api_key": "none", "num_retries": 0, "timeout": 120}
ASK = {**COMMON, "messages": [{"role": "user", "content": FRANCE}], "temperature": 0, "max_tokens": 100}
TOOLS = [{"type": "function", "function": WEATHER}]


def called():
    reply = litellm.completion(**ASK, tools=TOOLS, tool_choice="required")
    assert json.loads(reply.choices[0].message.tool_calls[0].function.arguments)["city"] in ("Paris", "Rome")


run(
    {
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
