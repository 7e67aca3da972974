"""instructor against the gateway."""

from typing import Literal

import instructor
import openai
from cells import FRANCE, MODEL, URL, run
from pydantic import BaseModel


class City(BaseModel):
    city: Literal["Paris", "Rome"]


def asked(mode):
    client = instructor.from_openai(openai.OpenAI(base_url=URL, api_key="none", timeout=120), mode=mode)
    messages = [{"role": "user", "content": FRANCE}]
    reply = client.chat.completions.create(
        model=MODEL, messages=messages, response_model=City, max_retries=0, temperature=0, max_tokens=100
    )
    assert isinstance(reply, City)


run({mode: lambda mode=mode: asked(getattr(instructor.Mode, mode)) for mode in ("JSON_SCHEMA", "TOOLS", "JSON")})
