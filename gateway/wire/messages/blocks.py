"""Reads the blocks of a `/v1/messages` request, and translates them to the parts of chat messages.

A text that is not joined with another text stays undecoded JSON. This saves time, because the conversation of a coding
agent has many long texts.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.wire.chat.request import (
    EMPTY,
    ChatContentPart,
    ImageUrl,
    StoredOrGivenFile,
    is_text,
)
from gateway.wire.json_fields import decoded
from gateway.wire.messages.losses import Losses

WHY_CHAT = "This request is sent as a chat completion, because its model's backend has no /v1/messages."
KNOWN = "text, images, documents, search results, thinking, tool_use and tool_result"
NO_TEXT = Raw(b'""')
"""Not `EMPTY`, which is left out where it is the text of a part."""


class BlockSource(Struct, gc=False):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: Raw = EMPTY


class Block(Struct, gc=False):
    type: str
    text: Raw = NO_TEXT
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw | UnsetType = UNSET
    tool_use_id: str = ""
    content: Raw = NO_TEXT
    is_error: bool | None = None
    source: str | BlockSource | None = None
    title: str | None = None
    context: str | None = None
    cache_control: Raw | UnsetType = UNSET


_blocks = msgspec.json.Decoder(list[Block])
_string = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


def read_blocks(content: Raw, where: str) -> list[Block]:
    """Decode a field `content`, whose path in the request is `where`."""
    return decoded(_blocks, content, where)


def parts_of(block: Block, where: str, losses: Losses) -> Iterator[ChatContentPart]:
    """Yield the chat parts of one block in a user message."""
    if block.type == "text":
        yield text_part(block.text)
    elif block.type == "image":
        yield ChatContentPart("image_url", image_url=ImageUrl(_image_url(block.source, f"{where}.source")))
    elif block.type == "document":
        yield from _document(block, f"{where}.source", losses)
    elif block.type == "search_result":
        source = block.source if isinstance(block.source, str) else ""
        head = "\n".join(filter(None, (block.title, source)))
        content = decoded(_string, _joined(block.content, f"{where}.content"), f"{where}.content")
        yield _written(f"{head}\n\n{content}")
    else:
        raise unknown(f"{where}.type", block.type, KNOWN)


def _image_url(source: str | BlockSource | None, where: str) -> str:
    if isinstance(source, BlockSource) and source.type == "base64":
        return f"data:{source.media_type};base64,{source.data}"
    if isinstance(source, BlockSource) and source.type == "url":
        return source.url
    raise unknown(f"{where}.type", _kind(source), "images as 'base64' or 'url'")


def _document(block: Block, where: str, losses: Losses) -> Iterator[ChatContentPart]:
    source = block.source
    head = "\n".join(filter(None, (block.title, block.context)))
    if isinstance(source, BlockSource) and source.type == "base64":
        if block.context:
            yield _written(block.context)
        data = f"data:{source.media_type};base64,{source.data}"
        yield ChatContentPart("file", file=StoredOrGivenFile(data, block.title or "document.pdf"))
    elif isinstance(source, BlockSource) and source.type == "text":
        yield _written(f"{head}\n\n{source.data}" if head else source.data)
    elif isinstance(source, BlockSource) and source.type == "content":
        if head:
            yield _written(head)
        if is_text(source.content):
            yield text_part(source.content)
            return
        for place, each in enumerate(read_blocks(source.content, f"{where}.content")):
            yield from parts_of(each, f"{where}.content[{place}]", losses)
    else:
        raise unknown(f"{where}.type", _kind(source), "documents as 'base64', 'text' or 'content'")


def _joined(content: Raw, where: str) -> Raw:
    """Join the texts of a field `content` in which only texts are allowed."""
    if is_text(content):
        return content
    return only_texts(read_blocks(content, where), where)


def only_texts(blocks: Sequence[Block], where: str) -> Raw:
    return joined_texts([(f"{place}.text", block.text) for place, block in text_blocks(blocks, where)], "\n\n")


def text_blocks(blocks: Sequence[Block], where: str) -> list[tuple[str, Block]]:
    """Return the blocks with their paths in the request. Raises `BadRequest` if one is not a text."""
    for number, block in enumerate(blocks):
        if block.type != "text":
            raise unknown(f"{where}[{number}].type", block.type, "only text here")
    return [(f"{where}[{number}]", block) for number, block in enumerate(blocks)]


def joined_texts(texts: Sequence[tuple[str, Raw]], between: str) -> Raw:
    """Join texts, which are given with their paths in the request. A single text stays undecoded."""
    if len(texts) == 1:
        return texts[0][1]
    return Raw(_encode(between.join([decoded(_string, text, where) for where, text in texts])))


def text_part(text: Raw) -> ChatContentPart:
    return ChatContentPart("text", text)


def _written(text: str) -> ChatContentPart:
    return ChatContentPart("text", Raw(_encode(text)))


def _kind(source: str | BlockSource | None) -> str:
    return source.type if isinstance(source, BlockSource) else "nothing"


def unknown(param: str, value: str, known: str) -> BadRequest:
    return BadRequest(
        f"Unsupported value: '{param}' is {value!r}, and chat completions take {known}. {WHY_CHAT}",
        param=param,
        code="unsupported_value",
    )
