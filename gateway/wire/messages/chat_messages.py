"""Translates the messages of a `/v1/messages` request to chat messages.

A message with tool results becomes one chat message per result. Its other blocks become a user message.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct

from gateway.wire.chat.request import EMPTY, NOTHING, ChatContentPart, ChatMessage, Function, RequestedCall, is_text
from gateway.wire.json_fields import json_text
from gateway.wire.messages.blocks import (
    KNOWN,
    Block,
    joined_texts,
    only_texts,
    parts_of,
    read_blocks,
    text_blocks,
    text_part,
    unknown,
)
from gateway.wire.messages.losses import Losses

_encode = msgspec.json.Encoder().encode


class _MadeFunction(Function, frozen=True):
    """A call whose input is known to be a JSON object, and stays undecoded."""

    given: Raw = EMPTY

    @property
    def input(self) -> Raw:
        return self.given


def _function(block: Block) -> Function:
    given = block.input
    if given is UNSET:
        return Function(block.name, "{}")
    arguments = json_text(given)
    return _MadeFunction(block.name, arguments, given) if arguments[0] == "{" else Function(block.name, arguments)


def _call_as_json(call: RequestedCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"id": call.id, "type": call.type, "function": function}


class GivenMessage(Struct, gc=False):
    """A message of the request. The texts in its blocks stay undecoded JSON."""

    role: str
    content: str | list[Block]


class MadeMessage(ChatMessage):
    """A translated message. If its content is not a single text, `made` has its parts."""

    made: Sequence[ChatContentPart] = ()

    def parts(self, where: str) -> list[ChatContentPart]:
        return list(self.made) or super().parts(where)

    def as_json(self) -> dict[str, Any]:
        """Return the message for a chat completion request."""
        written: dict[str, Any] = {"role": self.role, "content": self.made or self.content}
        if self.role == "tool":
            written["tool_call_id"] = self.tool_call_id
        if self.reasoning_content:
            written["reasoning_content"] = self.reasoning_content
        if self.thinking_blocks:
            written["thinking_blocks"] = self.thinking_blocks
        if self.tool_calls:
            written["tool_calls"] = [_call_as_json(call) for call in self.tool_calls]
        if self.is_error:
            written["is_error"] = True
        return written


def messages(system: Raw | None, given: Sequence[GivenMessage], losses: Losses, *, extended: bool) -> list[MadeMessage]:
    """Translate `system` and the messages. With `extended`, the backend's chat completions take Anthropic's own fields
    (`ports.ModelCard.keeps_thinking`).

    Raises `BadRequest`, which names the block, if chat completions lack a feature.
    """
    collected: list[MadeMessage] = []
    if system is not None:
        collected += _instructions(system, losses, extended)
    for place, message in enumerate(given):
        blocks = message.content
        if isinstance(blocks, str):
            collected.append(MadeMessage(message.role, Raw(_encode(blocks))))
            continue
        if message.role == "assistant":
            collected.append(_assistant(blocks, place, losses, extended))
        elif message.role == "system":
            _lose_marks(blocks, losses)
            collected.append(MadeMessage("system", only_texts(blocks, f"messages[{place}].content")))
        elif (result := _plain_result(blocks)) is not None:
            collected.append(result)
        else:
            collected += _user(blocks, f"messages[{place}].content", losses, extended)
    return collected


def _plain_result(blocks: Sequence[Block]) -> MadeMessage | None:
    """Return the message for a single tool result that is a text without a mark, or None for anything else."""
    if len(blocks) != 1:
        return None
    block = blocks[0]
    if block.type != "tool_result" or block.cache_control is not UNSET or block.is_error or not is_text(block.content):
        return None
    return MadeMessage("tool", block.content, None, block.tool_use_id)


def _assistant(blocks: Sequence[Block], message_place: int, losses: Losses, extended: bool) -> MadeMessage:
    texts: list[tuple[int, Block]] = []
    thoughts: list[str] = []
    signed: list[Raw] = []
    calls: list[RequestedCall] = []
    for place, block in enumerate(blocks):
        if block.cache_control is not UNSET and not extended:
            losses.add("cache_control")
        if block.type == "text":
            texts.append((place, block))
        elif block.type == "tool_use":
            if extended and block.cache_control is not UNSET:
                losses.add("cache_control of a call")
            calls.append(RequestedCall(block.id, "function", _function(block)))
        elif block.type == "thinking" and extended and block.signature:
            kept = {"type": block.type, "thinking": block.thinking, "signature": block.signature}
            signed.append(Raw(_encode(kept)))
        elif block.type == "thinking":
            thoughts.append(block.thinking)
        elif block.type == "redacted_thinking" and extended:
            signed.append(Raw(_encode({"type": block.type, "data": block.data})))
        elif block.type == "redacted_thinking":
            losses.add("redacted_thinking")
        else:
            raise unknown(f"messages[{message_place}].content[{place}].type", block.type, KNOWN)
    if len(texts) == 1 and texts[0][1].cache_control is UNSET:
        message = MadeMessage("assistant", texts[0][1].text)
    elif texts or not calls:
        where = f"messages[{message_place}].content"
        placed = [(f"{where}[{place}].text", block) for place, block in texts]
        message = _spoken("assistant", placed, "", extended)
    else:
        message = MadeMessage("assistant")
    if thoughts:
        message.reasoning_content = "\n\n".join(filter(None, thoughts))
    if signed:
        message.thinking_blocks = signed
    if calls:
        message.tool_calls = calls
    return message


def _user(blocks: Sequence[Block], where: str, losses: Losses, extended: bool) -> list[MadeMessage]:
    """Translate a user message. Tool results come first, because in chat they must directly follow their calls."""
    results: list[MadeMessage] = []
    parts: list[ChatContentPart] = []
    for place, block in enumerate(blocks):
        if block.cache_control is not UNSET and not extended:
            losses.add("cache_control")
        if block.type == "tool_result" and extended:
            results.append(_whole_result(block, f"{where}[{place}].content", losses))
        elif block.type == "tool_result":
            text, others = _result(block, f"{where}[{place}].content", losses)
            results.append(MadeMessage("tool", text, tool_call_id=block.tool_use_id))
            parts += others
        else:
            parts += _marked(list(parts_of(block, f"{where}[{place}]", losses)), block, extended)
    return [*results, _message("user", parts)] if parts else results


def _message(role: str, parts: list[ChatContentPart]) -> MadeMessage:
    """Return a message with these parts. A single text without a mark is the content itself."""
    if not parts:
        return MadeMessage(role, EMPTY)
    first = parts[0]
    if len(parts) == 1 and first.type == "text" and first.cache_control is UNSET:
        return MadeMessage(role, first.text)
    return MadeMessage(role, made=parts)


def _whole_result(block: Block, where: str, losses: Losses) -> MadeMessage:
    """Return a tool result with its images, files and marks, for a backend that takes them in a tool's message."""
    content = block.content
    if is_text(content) and block.cache_control is UNSET:
        message = MadeMessage("tool", content)
    else:
        given = [] if content == NOTHING else [text_part(content)]
        if given and not is_text(content):
            blocks = enumerate(read_blocks(content, where))
            parts = [_marked(list(parts_of(each, f"{where}[{place}]", losses)), each, True) for place, each in blocks]
            given = [part for of_block in parts for part in of_block]
        message = _message("tool", _marked(given, block, True))
    message.tool_call_id = block.tool_use_id
    message.is_error = block.is_error or None
    return message


def _lose_marks(blocks: Sequence[Block], losses: Losses) -> None:
    if any([block.cache_control is not UNSET for block in blocks]):
        losses.add("cache_control")


def _marked(parts: list[ChatContentPart], block: Block, extended: bool) -> list[ChatContentPart]:
    """Put the block's `cache_control` on the last of its parts."""
    if extended and block.cache_control is not UNSET and parts:
        parts[-1].cache_control = block.cache_control
    return parts


def _instructions(system: Raw, losses: Losses, extended: bool) -> list[MadeMessage]:
    if is_text(system):
        message = MadeMessage("system", system)
    else:
        blocks = read_blocks(system, "system")
        texts = [(f"{where}.text", block) for where, block in text_blocks(blocks, "system")]
        if not extended:
            _lose_marks(blocks, losses)
        message = _spoken("system", texts, "\n\n", extended)
    return [] if message.content == EMPTY and not message.made else [message]


def _spoken(role: str, texts: list[tuple[str, Block]], between: str, extended: bool) -> MadeMessage:
    """Join texts. If one of them has a `cache_control` that the backend takes, they stay parts."""
    if extended and any([block.cache_control is not UNSET for _, block in texts]):
        return MadeMessage(
            role, made=[ChatContentPart("text", b.text, cache_control=b.cache_control) for _, b in texts]
        )
    return MadeMessage(role, joined_texts([(where, block.text) for where, block in texts], between))


def _result(block: Block, where: str, losses: Losses) -> tuple[Raw, list[ChatContentPart]]:
    """Return the text of a tool result, and the result's images and files. In chat, only a user message may have images
    and files."""
    if block.is_error:
        losses.add("tool_result.is_error")
    content = block.content
    if is_text(content):
        return content, []
    if content == NOTHING:
        return EMPTY, []
    blocks = read_blocks(content, where)
    _lose_marks(blocks, losses)
    parts = [part for place, each in enumerate(blocks) for part in parts_of(each, f"{where}[{place}]", losses)]
    others = [part for part in parts if part.type != "text"]
    if others:
        losses.add("tool_result images", "sent in a user message after the result")
    return joined_texts([(where, part.text) for part in parts if part.type == "text"], "\n"), others
