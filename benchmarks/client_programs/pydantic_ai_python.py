"""pydantic-ai against the gateway."""

import base64
from typing import Literal

from cells import FRANCE, MODEL, PICTURE, REFUSED, URL, is_local, paris, run
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=URL, api_key="none")
chat = OpenAIChatModel(MODEL, provider=provider)
SETTINGS = {"temperature": 0, "max_tokens": 100, "timeout": 120}


class City(BaseModel):
    city: Literal["Paris", "Rome"]


def ask(model, **options):
    return Agent(model, model_settings=SETTINGS, retries=0, **options).run_sync(FRANCE).output


claude = AnthropicModel(MODEL, provider=AnthropicProvider(base_url=URL.removesuffix("/v1"), api_key="none"))


def stream(model):
    result = Agent(model, model_settings=SETTINGS).run_stream_sync(FRANCE)
    paris(list(result.stream_text())[-1])


def image():
    picture = BinaryContent(base64.b64decode(PICTURE), media_type="image/png")
    paris(Agent(chat, model_settings=SETTINGS).run_sync(["Which city is in the picture?", picture]).output)


def refused():
    try:
        Agent(chat, model_settings=SETTINGS, retries=0).run_sync(REFUSED)
    except ModelHTTPError as error:
        assert error.status_code == 429, error
    else:
        raise AssertionError("no error")


SCRIPTED = {} if is_local() else {"image": image, "error": refused}
run(
    {
        **SCRIPTED,
        "stream": lambda: stream(chat),
        "anthropic: message": lambda: paris(ask(claude)),
        "anthropic: message in a stream": lambda: stream(claude),
        "anthropic: output by tool, message": lambda: City.model_validate(ask(claude, output_type=ToolOutput(City))),
        "text": lambda: paris(ask(chat)),
        "text over responses": lambda: paris(ask(OpenAIResponsesModel(MODEL, provider=provider))),
        "output by tool": lambda: City.model_validate(ask(chat, output_type=ToolOutput(City))),
        "NativeOutput": lambda: City.model_validate(ask(chat, output_type=NativeOutput(City))),
    }
)
