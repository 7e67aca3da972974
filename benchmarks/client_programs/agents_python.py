"""openai-agents against the gateway: an agent with one tool."""

from typing import Literal

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from cells import FRANCE, MODEL, URL, run

set_tracing_disabled(True)
client = openai.AsyncOpenAI(base_url=URL, api_key="none", max_retries=0, timeout=120)
calls = []


@function_tool
def weather(city: Literal["Paris", "Rome"]) -> str:
    """Tells the weather of a city."""
    calls.append(city)
    return "7 degrees"


def loop(kind):
    calls.clear()
    settings = ModelSettings(tool_choice="required", temperature=0, max_tokens=100)
    agent = Agent(name="a", model=kind(MODEL, client), tools=[weather], model_settings=settings)
    reply = Runner.run_sync(agent, FRANCE, max_turns=3)
    assert calls, "no call"
    assert reply.final_output


run(
    {
        "chat, with a tool": lambda: loop(OpenAIChatCompletionsModel),
        "responses, with a tool": lambda: loop(OpenAIResponsesModel),
    }
)
