"""A messages request that is translated to a provider's API without being written as chat in between becomes the same
request as by way of chat's JSON.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from gateway.errors import RequestError
from gateway.wire.chat.request import ChatRequest, read_request
from gateway.wire.chat.tool_block import LONGEST_KEPT, MOST_KEPT, KeptBlocks, ToolBlock
from gateway.wire.converse.of_chat import converse_body
from gateway.wire.gemini.of_chat import generate_body
from gateway.wire.messages.as_chat import chat_body
from gateway.wire.messages.losses import Losses
from tests.unit.wire.messages.test_mutated import body, encoded, mutated

Translate = Callable[[ChatRequest, Losses], bytes]
PROVIDERS: dict[str, Translate] = {
    "gemini": lambda request, losses: generate_body(request, "gemini-3-pro", losses),
    "claude": lambda request, losses: converse_body(request, "us.anthropic.x", losses),
    "llama": lambda request, losses: converse_body(request, "us.meta.x", losses),
}


def outcome(translate: Translate, request: ChatRequest) -> Any:
    losses = Losses()
    try:
        # what is not UTF-8 stays undecoded, for the backend to refuse
        made = json.loads(translate(request, losses).decode("utf-8", "replace"))
    except RequestError as error:
        return error.status
    note = losses.note()
    return made, sorted(note.data["left_out"]) if note else []


@pytest.mark.parametrize("translate", PROVIDERS.values(), ids=PROVIDERS)
@pytest.mark.parametrize("case", ["messages-translated", "bedrock-messages"])
def test_both_ways_give_the_same_request(case: str, translate: Translate) -> None:
    for each in (body(case), *mutated(body(case))):
        try:
            request = chat_body(encoded(each), Losses(), extended=True)
            written = read_request(request.body)
        except RequestError:
            continue
        assert outcome(translate, request) == outcome(translate, written)


@pytest.mark.parametrize("case", ["bedrock-messages", "gemini-chat"])
def test_what_tools_lose_is_noted_each_time(case: str) -> None:
    request = {**body(case), "model": "m"}

    def lost() -> list[str]:
        losses = Losses()
        if "messages" in case:
            chat_body(encoded({**request, "tools": [{"name": "f", "defer_loading": True}]}), losses)
        else:
            tools = [{"type": "function", "function": {"name": "f", "strict": True}}]
            generate_body(read_request(encoded({**request, "tools": tools})), "gemini-3-pro", losses)
        note = losses.note()
        return [name for name in (note.data["left_out"] if note else []) if name.startswith("tools.")]

    assert lost() == lost() != []


def test_few_and_short_blocks_are_kept() -> None:
    decoded: list[bytes] = []

    def decode(content: bytes) -> ToolBlock:
        decoded.append(content)
        return ToolBlock(())

    blocks = KeptBlocks(decode)
    first, long = Raw(b"[0]"), Raw(b" " * LONGEST_KEPT + b"[]")
    assert blocks.decoded(first) is blocks.decoded(first)
    assert blocks.decoded(long) is not blocks.decoded(long)
    for number in range(1, MOST_KEPT + 1):
        blocks.decoded(Raw(b"[%d]" % number))
    blocks.decoded(first)
    assert decoded.count(b"[0]") == 2
