"""Collects the text of a prompt in Anthropic's form. If a backend cannot count tokens, the gateway counts them in this
text."""

from collections.abc import Iterator
from typing import Any

from gateway.wire.chat.completion import loose_json, text_of

FOR_A_MESSAGE = 4
"""The estimated number of tokens that mark the start and the end of a message."""
FOR_A_PICTURE = 1500
"""The estimated tokens of an image, or of one page of a document. The true number depends on the model."""
BASE64_OF_A_PAGE = 60_000
"""The estimated number of base64 characters in one page of a document."""
TEXTS = ("text", "thinking", "title", "context", "name")


def countable(raw: bytes) -> tuple[str, int]:
    """Return the texts of a prompt, and the estimated number of tokens in everything else."""
    fields = loose_json(raw)
    fields = fields if isinstance(fields, dict) else {}
    texts: list[str] = []
    extra = 0
    messages = fields.get("messages")
    for content in (fields.get("system"), *(messages if isinstance(messages, list) else ())):
        extra += FOR_A_MESSAGE if content else 0
        inner = content.get("content") if isinstance(content, dict) else content
        for part in _parts(inner):
            texts.append(part) if isinstance(part, str) else None
            extra += part if isinstance(part, int) else 0
    tools = fields.get("tools")
    texts += [_told(tool) for tool in tools] if isinstance(tools, list) else []
    return "\n".join(texts), extra


def _parts(content: Any, deeper: int = 4) -> Iterator[str | int]:
    """Yield each text of a field `content`, and the estimated number of tokens of every other part."""
    if isinstance(content, str):
        yield content
    for block in content if isinstance(content, list) and deeper else ():
        if not isinstance(block, dict):
            continue
        source = block.get("source")
        data = text_of(source.get("data")) if isinstance(source, dict) else ""
        kind = block.get("type")
        if isinstance(source, dict) and source.get("type") == "text":
            yield data
        elif isinstance(source, dict) and source.get("type") == "content":
            yield from _parts(source.get("content"), deeper - 1)
        elif kind in ("image", "document"):
            yield FOR_A_PICTURE * max(1, len(data) // BASE64_OF_A_PAGE if kind == "document" else 1)
        yield from (text_of(block.get(name)) for name in TEXTS if block.get(name))
        if "input" in block:
            yield _told(block["input"])
        yield from _parts(block.get("content"), deeper - 1)


def _told(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
