"""pydantic-ai against the gateway."""

from typing import Literal

from cells import FRANCE, MODEL, URL, paris, run
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=URL, api_key="none")
chat = OpenAIChatModel(MODEL, provider=provider)
SETTINGS = {"temperature": 0, "max_tokens": 100, "timeout": 120}


class City(BaseModel):
    city: Literal["Paris", "Rome"]


def ask(model, **options):
    return Agent(model, model_settings=SETTINGS, retries=0, **options).run_sync(FRANCE).output


run(
    {
        "text": lambda: paris(ask(chat)),
        "text over responses": lambda: paris(ask(OpenAIResponsesModel(MODEL, provider=provider))),
        "output by tool": lambda: City.model_validate(ask(chat, output_type=ToolOutput(City))),
        "NativeOutput": lambda: City.model_validate(ask(chat, output_type=NativeOutput(City))),
    }
)
