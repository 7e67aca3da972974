"""Measures in one process what the translations of a coding agent's request and of its answer cost, without network.

    PYTHONPATH=FOLDER python benchmarks/translations.py [--other-tools]

FOLDER has the version to measure. CPU is the least of nine batches of 100 requests, so it holds on a busy machine.
"""

import asyncio
import gc
import json
import time
from pathlib import Path
from typing import Any

import click
from harness import nginx
from messages import long_chat, long_messages

from gateway.ask import Mode
from gateway.backends import anthropic, remote
from gateway.backends.chat_over_messages import ChatOverMessages
from gateway.backends.messages_over_chat import MessagesOverChat
from gateway.backends.providers import bedrock, gemini
from gateway.backends.remote_settings import RemoteSettings
from gateway.backends.required_call import RequiredCalls
from gateway.backends.responses import ResponsesOverChat
from gateway.exchange import Exchange, Target
from gateway.wire.chat import decode
from gateway.wire.messages import request

URL, BATCHES, REQUESTS = "http://127.0.0.1:1/v1", 9, 100
BEDROCK: dict[str, Any] = {"base_url": URL, "region": "us-east-1"}
BACKENDS: dict[str, tuple[Any, str]] = {
    "openai": (remote.Remote("b", RemoteSettings(base_url=URL, models=("m",))), nginx.COMPLETION),
    "anthropic": (anthropic.Anthropic("b", anthropic.AnthropicSettings(URL, models=("m",))), nginx.MESSAGE),
    "gemini": (gemini.Gemini("b", gemini.GeminiSettings(base_url=URL, models=("m",)), Path()), nginx.GENERATED),
    "bedrock": (bedrock.Bedrock("b", bedrock.BedrockSettings(**BEDROCK, api_key="k", models=("m",))), nginx.CONVERSED),
}


class Answered:
    """An upstream's whole answer."""

    status = 200
    headers = ((b"content-type", b"application/json"),)

    def __init__(self, body: str) -> None:
        self._body = body.encode()

    async def whole(self) -> bytes:
        return self._body

    def close(self) -> None: ...


@click.command()
@click.option("--other-tools", is_flag=True, help="Give each request tools of its own.")
def translations(other_tools: bool) -> None:
    """CPU of a coding agent's request in one process."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # as the server does
    for name, (backend, answer) in BACKENDS.items():
        for api, make, read in (("chat", long_chat, decode.chat), ("messages", long_messages, request.ask)):
            text = json.dumps(make("m"))
            names = [f"Field {number:03} of all." if other_tools else "One." for number in range(REQUESTS)]
            bodies = [text.replace("One of the fields.", each).encode() for each in names]
            least = min(asyncio.run(_batch(backend, answer, bodies, read)) for _ in range(BATCHES))
            click.echo(f"{api} to {name}: {least * 1e6 / REQUESTS:.0f} us")


async def _batch(backend: Any, answer: str, bodies: list[bytes], read: Any) -> float:
    async def post(*_: object) -> Answered:
        return Answered(answer)

    backend._post = post
    sender = MessagesOverChat(ResponsesOverChat(RequiredCalls(ChatOverMessages(backend))), backend, len)
    began = time.process_time()
    for body in bodies:
        exchange = Exchange("fw-1", read(body, {}), mode=Mode.OFF, route=(Target("b", "m"),))
        await sender.send(exchange, "m", ())
    return time.process_time() - began


if __name__ == "__main__":
    translations()
