"""Reads lists of chat messages, as OpenAI's API has them."""

from collections.abc import Callable, Sequence
from typing import Any

from gateway.prompt.given.front_matter import mapping, string
from gateway.prompt.given.given_prompt import Body, FileMessage, PromptFileBroken

ReadBody = Callable[[str], tuple[Body, list[str]]]


def read_messages(value: Any, what: str, body: ReadBody) -> tuple[list[FileMessage], list[str]]:
    """Return the messages, and what was left out. Raises `PromptFileBroken`."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise PromptFileBroken(f"{what} must be a list of messages with `role` and `content`")
    messages: list[FileMessage] = []
    losses: list[str] = []
    for place, item in enumerate(value, 1):
        message = mapping(item, f"message {place} of {what}")
        if message.get("type") == "placeholder" or (message.get("role") is None and "name" in message):
            losses.append(f"the placeholder {message.get('name', '')!r}: messages there count as conversation")
            continue
        pieces, lost = body(_text(message.get("content"), f"`content` of message {place} of {what}"))
        role = string(message.get("role"), f"`role` of message {place} of {what}")
        messages.append(FileMessage(role, pieces))
        losses += lost
    return messages, losses


def _text(content: Any, what: str) -> str:
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict) and "text" in content[0]:
        content = content[0]["text"]
    return string(content, what)
