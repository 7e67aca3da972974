"""Translates chat messages to the `system` and the messages of a `/v1/messages` request.

Chat has one message per tool result. In Anthropic's API, the results are at the start of a user message.
"""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw

from gateway.wire.chat.foreign_api import ForeignApi
from gateway.wire.chat.request import (
    EMPTY,
    SYSTEM,
    TEXTS,
    ChatContentPart,
    ChatMessage,
    StoredOrGivenFile,
    data_of,
    is_text,
)
from gateway.wire.gemini.signatures import OF_GEMINI
from gateway.wire.messages.losses import Losses

Block = dict[str, Any]
ANTHROPIC = ForeignApi(
    "Anthropic's API",
    "This request is sent to Anthropic's API, because its model's backend has no chat completions.",
)
KNOWN = "text, images and files"
FOREIGN = re.compile(rb'"signature"\s*:\s*"' + OF_GEMINI.encode())
"""Finds the signature of a Gemini model, which Anthropic's API would refuse."""


class Conversation:
    """The translated messages. `instructions` are the blocks of the field `system`."""

    def __init__(self, losses: Losses) -> None:
        self.instructions: list[Block] = []
        self.messages: list[dict[str, Any]] = []
        self.lacks_thinking = False
        """Whether the last assistant message has tool calls but no thinking blocks. When thinking is on, Anthropic's
        API requires these blocks."""
        self._losses = losses

    def add(self, message: ChatMessage, where: str) -> None:
        """Translate one message. Raises `BadRequest`, which names the part, for content that Anthropic's API lacks."""
        if message.role in SYSTEM:
            if self.messages:
                self._losses.add("place of a system message", "moved to the front")
            self.instructions += _blocks(message, f"{where}.content", self._losses)
        elif message.role == "assistant":
            self._assistant(message, where)
        elif message.role == "tool":
            self._result(message, where)
        elif message.role == "user":
            self._user(_blocks(message, f"{where}.content", self._losses))
        else:
            raise ANTHROPIC.unsupported(f"{where}.role", message.role, "system, user, assistant and tool")

    def _assistant(self, message: ChatMessage, where: str) -> None:
        if message.function_call is not UNSET and bytes(message.function_call) != b"null":
            raise ANTHROPIC.unsupported(f"{where}.function_call", "an older form", "'tool_calls'")
        blocks: list[Any] = []
        if message.thinking_blocks:
            blocks += [block for block in message.thinking_blocks if not FOREIGN.search(block)]
            if len(blocks) < len(message.thinking_blocks):
                self._losses.add("thinking_blocks", "another provider's model signed them")
        has_thinking = bool(blocks)
        if not blocks and (message.reasoning_content or message.reasoning):
            self._losses.add("reasoning_content", "only thinking_blocks have the signature that is required")
        blocks += _blocks(message, f"{where}.content", self._losses)
        if message.refusal:
            blocks.append({"type": "text", "text": message.refusal})
        calls = message.tool_calls or []
        for place, call in enumerate(calls):
            if call.type != "function":
                raise ANTHROPIC.unsupported(f"{where}.tool_calls[{place}].type", call.type, "functions")
            name, given = call.function.name, call.function.input
            blocks.append({"type": "tool_use", "id": call.id, "name": name, "input": given})
        self.lacks_thinking = bool(calls) and not has_thinking
        if blocks:
            self.messages.append({"role": "assistant", "content": _shortest(blocks)})

    def _result(self, message: ChatMessage, where: str) -> None:
        content: str | Raw | list[Block] = message.content
        if content == EMPTY or not is_text(message.content):
            content = _shortest(_blocks(message, f"{where}.content", self._losses))
        result: Block = {"type": "tool_result", "tool_use_id": message.tool_call_id, "content": content}
        if message.is_error:
            result["is_error"] = True
        self._user([result])

    def _user(self, blocks: list[Block]) -> None:
        """Add a user's blocks to the last message if that message holds tool results. Otherwise, add a new message."""
        last = self.messages[-1] if self.messages else {}
        before = last.get("content")
        if last.get("role") == "user" and isinstance(before, list) and before[0].get("type") == "tool_result":
            before += blocks
        elif blocks:
            is_result = blocks[0].get("type") == "tool_result"
            self.messages.append({"role": "user", "content": blocks if is_result else _shortest(blocks)})


def conversation(messages: Sequence[ChatMessage], losses: Losses) -> Conversation:
    """Translate the messages of a chat request."""
    translated = Conversation(losses)
    for place, message in enumerate(messages):
        translated.add(message, f"messages[{place}]")
    return translated


def _blocks(message: ChatMessage, where: str, losses: Losses) -> list[Block]:
    """Return the blocks of a message's content. Empty texts are left out, because Anthropic's API refuses them."""
    if is_text(message.content):
        return [] if message.content == EMPTY else [{"type": "text", "text": message.content}]
    blocks = []
    for place, part in enumerate(message.parts(where)):
        block = _block(part, f"{where}[{place}]", losses)
        if block.get("text") in ("", EMPTY):
            continue
        blocks.append(block if part.cache_control is UNSET else {**block, "cache_control": part.cache_control})
    return blocks


def _block(part: ChatContentPart, where: str, losses: Losses) -> Block:
    if part.type in TEXTS:
        return {"type": "text", "text": part.text}
    if part.type == "refusal":
        return {"type": "text", "text": part.refusal}
    if part.type == "image_url" and part.image_url is not None:
        if part.image_url.detail not in (None, "auto"):
            losses.add("image_url.detail")
        return {"type": "image", "source": _source(part.image_url.url)}
    if part.type == "file" and part.file is not None and part.file.file_data:
        return _document(part.file, where)
    if part.type == "file":
        raise ANTHROPIC.unsupported(f"{where}.file", "a stored file", "files by 'file_data'")
    raise ANTHROPIC.unsupported(f"{where}.type", part.type, KNOWN)


def _source(url: str) -> Block:
    media_type, data = data_of(url)
    return {"type": "base64", "media_type": media_type, "data": data} if data else {"type": "url", "url": url}


def _document(file: StoredOrGivenFile, where: str) -> Block:
    media_type, data = data_of(file.file_data)
    data = data or file.file_data
    if media_type not in ("", "application/pdf"):
        known = "PDF files; send other text as a part of type 'text'"
        raise ANTHROPIC.unsupported(f"{where}.file.file_data", media_type, known)
    block: Block = {"type": "document"} | ({"title": file.filename} if file.filename else {})
    return {**block, "source": {"type": "base64", "media_type": "application/pdf", "data": data}}


def _shortest(blocks: list[Block]) -> str | Raw | list[Block]:
    """Return a single text block as a string, and anything else as blocks. Every server with this API accepts a
    string."""
    if not blocks:
        return ""
    first = blocks[0]
    return first["text"] if len(blocks) == 1 and isinstance(first, dict) and set(first) == {"type", "text"} else blocks
