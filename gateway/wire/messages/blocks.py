"""Translates the messages of a `/v1/messages` request to chat messages.

A message with tool results becomes one chat message per result. Its other blocks become a user message. A text that is
not joined with another text stays undecoded JSON. This saves time, because the conversation of a coding agent has many
long texts.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.wire.chat.request import EMPTY, QUOTE
from gateway.wire.json_fields import NULL, decoded, json_text
from gateway.wire.messages.losses import Losses

Message = dict[str, Any]
Text = str | Raw
"""A decoded text, or the undecoded JSON of a text."""
WHY_CHAT = "This request is sent as a chat completion, because its model's backend has no /v1/messages."
KNOWN = "text, images, documents, search results, thinking, tool_use and tool_result"


class _BlockSource(Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""
    content: Raw = EMPTY


class _Block(Struct):
    type: str
    text: Raw = EMPTY
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw | UnsetType = UNSET
    tool_use_id: str = ""
    content: Raw = EMPTY
    is_error: bool | None = None
    source: str | _BlockSource | None = None
    title: str | None = None
    context: str | None = None
    cache_control: Raw | UnsetType = UNSET


class GivenMessage(Struct):
    """A message of the request. The texts in its blocks stay undecoded JSON."""

    role: str
    content: str | list[_Block]


_content = msgspec.json.Decoder(list[_Block])
_string = msgspec.json.Decoder(str)


def messages(system: Raw | None, given: Sequence[GivenMessage], losses: Losses, *, extended: bool) -> list[Message]:
    """Translate `system` and the messages. With `extended`, the backend's chat completions take Anthropic's own fields
    (`ports.ModelCard.keeps_thinking`).

    Raises `BadRequest`, which names the block, if chat completions lack a feature.
    """
    collected: list[Message] = []
    if system is not None and (instructions := _instructions(system, extended)) not in ("", EMPTY, []):
        collected.append({"role": "system", "content": instructions})
    for place, message in enumerate(given):
        if isinstance(message.content, str):
            collected.append({"role": message.role, "content": message.content})
            continue
        blocks = _placed(message.content, f"messages[{place}].content")
        if message.role == "assistant":
            collected.append(_assistant(blocks, losses, extended))
        elif message.role == "system":
            collected.append({"role": "system", "content": _only_texts(blocks)})
        else:
            collected += _user(blocks, losses, extended)
    return collected


def _blocks(content: Raw, where: str) -> list[tuple[str, _Block]]:
    """Decode a field `content` and return its blocks, each with its path in the request."""
    blocks = decoded(_content, content, where)
    return _placed(blocks, where)


def _placed(blocks: Sequence[_Block], where: str) -> list[tuple[str, _Block]]:
    return [(f"{where}[{number}]", block) for number, block in enumerate(blocks)]


def _assistant(blocks: list[tuple[str, _Block]], losses: Losses, extended: bool) -> Message:
    texts: list[tuple[str, _Block]] = []
    thoughts, signed, calls = [], [], []
    for where, block in blocks:
        if block.type == "text":
            texts.append((where, block))
        elif block.type == "thinking" and extended and block.signature:
            signed.append({"type": block.type, "thinking": block.thinking, "signature": block.signature})
        elif block.type == "thinking":
            thoughts.append(block.thinking)
        elif block.type == "redacted_thinking" and extended:
            signed.append({"type": block.type, "data": block.data})
        elif block.type == "redacted_thinking":
            losses.add("redacted_thinking")
        elif block.type == "tool_use":
            if extended and block.cache_control is not UNSET:
                losses.add("cache_control of a call")
            arguments = "{}" if block.input is UNSET else json_text(block.input)
            function = {"name": block.name, "arguments": arguments}
            calls.append({"id": block.id, "type": "function", "function": function})
        else:
            raise _unknown(f"{where}.type", block.type, KNOWN)
    message: Message = {"role": "assistant", "content": _spoken(texts, "", extended) if texts or not calls else None}
    if thought := "\n\n".join(filter(None, thoughts)):
        message["reasoning_content"] = thought
    if signed:
        message["thinking_blocks"] = signed
    return message | ({"tool_calls": calls} if calls else {})


def _user(blocks: list[tuple[str, _Block]], losses: Losses, extended: bool) -> list[Message]:
    """Translate a user message. Tool results come first, because in chat they must directly follow their calls."""
    results: list[Message] = []
    parts: list[dict[str, Any]] = []
    for where, block in blocks:
        if block.type == "tool_result" and extended:
            results.append(_whole_result(block, f"{where}.content", losses))
        elif block.type == "tool_result":
            text, others = _result(block, f"{where}.content", losses)
            results.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": text})
            parts += others
        else:
            parts += _marked(list(_parts(block, where, losses)), block, extended)
    if not parts:
        return results
    alone = len(parts) == 1 and set(parts[0]) == {"type", "text"}
    return [*results, {"role": "user", "content": parts[0]["text"] if alone else parts}]


def _whole_result(block: _Block, where: str, losses: Losses) -> Message:
    """Return a tool result with its images, files and marks, for a backend that takes them in a tool's message."""
    content = block.content
    given = [] if bytes(content) == NULL else [_text(content)]
    if not _is_text(content) and bytes(content) != NULL:
        blocks = _blocks(content, where)
        given = [part for place, each in blocks for part in _marked(list(_parts(each, place, losses)), each, True)]
    parts = _marked(given, block, True)
    alone = len(parts) == 1 and set(parts[0]) == {"type", "text"}
    message: Message = {"role": "tool", "tool_call_id": block.tool_use_id}
    message["content"] = parts[0]["text"] if alone else parts or EMPTY
    return message | ({"is_error": True} if block.is_error else {})


def _marked(parts: list[dict[str, Any]], block: _Block, extended: bool) -> list[dict[str, Any]]:
    """Put the block's `cache_control` on the last of its parts."""
    if not extended or block.cache_control is UNSET or not parts:
        return parts
    return [*parts[:-1], {**parts[-1], "cache_control": block.cache_control}]


def _instructions(system: Raw, extended: bool) -> Text | list[dict[str, Any]]:
    if not extended or _is_text(system):
        return _joined(system, "system")
    blocks = _blocks(system, "system")
    for where, block in blocks:
        if block.type != "text":
            raise _unknown(f"{where}.type", block.type, "only text here")
    return _spoken(blocks, "\n\n", extended)


def _spoken(texts: list[tuple[str, _Block]], between: str, extended: bool) -> Text | list[dict[str, Any]]:
    """Join texts. If one of them has a `cache_control` that the backend takes, they stay parts."""
    if extended and any(block.cache_control is not UNSET for _, block in texts):
        return [part for _, block in texts for part in _marked([_text(block.text)], block, extended)]
    return _one([(where, block.text) for where, block in texts], between)


def _result(block: _Block, where: str, losses: Losses) -> tuple[Text, list[dict[str, Any]]]:
    """Return the text of a tool result, and the result's images and files. In chat, only a user message may have images
    and files."""
    if block.is_error:
        losses.add("tool_result.is_error")
    content = block.content
    if _is_text(content):
        return content, []
    if bytes(content) == NULL:
        return EMPTY, []
    parts = [part for place, each in _blocks(content, where) for part in _parts(each, place, losses)]
    others = [part for part in parts if part["type"] != "text"]
    if others:
        losses.add("tool_result images", "sent in a user message after the result")
    return _one([(where, part["text"]) for part in parts if part["type"] == "text"], "\n"), others


def _parts(block: _Block, where: str, losses: Losses) -> Iterator[dict[str, Any]]:
    """Yield the chat parts of one block in a user message."""
    if block.type == "text":
        yield _text(block.text)
    elif block.type == "image":
        yield {"type": "image_url", "image_url": {"url": _image_url(block.source, f"{where}.source")}}
    elif block.type == "document":
        yield from _document(block, f"{where}.source", losses)
    elif block.type == "search_result":
        source = block.source if isinstance(block.source, str) else ""
        head = "\n".join(filter(None, (block.title, source)))
        content = _read(_joined(block.content, f"{where}.content"), f"{where}.content")
        yield _text(f"{head}\n\n{content}")
    else:
        raise _unknown(f"{where}.type", block.type, KNOWN)


def _image_url(source: str | _BlockSource | None, where: str) -> str:
    if isinstance(source, _BlockSource) and source.type == "base64":
        return f"data:{source.media_type};base64,{source.data}"
    if isinstance(source, _BlockSource) and source.type == "url":
        return source.url
    raise _unknown(f"{where}.type", _kind(source), "images as 'base64' or 'url'")


def _document(block: _Block, where: str, losses: Losses) -> Iterator[dict[str, Any]]:
    source = block.source
    head = "\n".join(filter(None, (block.title, block.context)))
    if isinstance(source, _BlockSource) and source.type == "base64":
        if block.context:
            yield _text(block.context)
        data = f"data:{source.media_type};base64,{source.data}"
        yield {"type": "file", "file": {"filename": block.title or "document.pdf", "file_data": data}}
    elif isinstance(source, _BlockSource) and source.type == "text":
        yield _text(f"{head}\n\n{source.data}" if head else source.data)
    elif isinstance(source, _BlockSource) and source.type == "content":
        if head:
            yield _text(head)
        if _is_text(source.content):
            yield _text(source.content)
            return
        for place, each in _blocks(source.content, f"{where}.content"):
            yield from _parts(each, place, losses)
    else:
        raise _unknown(f"{where}.type", _kind(source), "documents as 'base64', 'text' or 'content'")


def _joined(content: Raw, where: str) -> Text:
    """Join the texts of a field `content` in which only texts are allowed."""
    if _is_text(content):
        return content
    return _only_texts(_blocks(content, where))


def _only_texts(blocks: list[tuple[str, _Block]]) -> Text:
    texts: list[tuple[str, Text]] = []
    for place, block in blocks:
        if block.type != "text":
            raise _unknown(f"{place}.type", block.type, "only text here")
        texts.append((place, block.text))
    return _one(texts, "\n\n")


def _one(texts: Sequence[tuple[str, Text]], between: str) -> Text:
    """Join texts, which are given with their paths in the request. A single text is returned undecoded."""
    if len(texts) == 1:
        return texts[0][1]
    return between.join([_read(text, where) for where, text in texts])


def _read(text: Text, where: str) -> str:
    return text if isinstance(text, str) else decoded(_string, text, where)


def _is_text(content: Raw) -> bool:
    return memoryview(content)[0] == QUOTE  # not a copy of a long text


def _text(text: Text) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _kind(source: str | _BlockSource | None) -> str:
    return source.type if isinstance(source, _BlockSource) else "nothing"


def _unknown(param: str, value: str, known: str) -> BadRequest:
    return BadRequest(
        f"Unsupported value: '{param}' is {value!r}, and chat completions take {known}. {WHY_CHAT}",
        param=param,
        code="unsupported_value",
    )
