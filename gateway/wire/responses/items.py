"""Translates the items of a response's `input` to chat messages.

In `input`, an answer consists of several items (reasoning, text, function calls). In chat, an answer is one assistant
message.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.wire.json_fields import decoded, missing
from gateway.wire.responses.mcp import function_name

Message = dict[str, Any]


class _InputItem(Struct):
    type: str = "message"
    role: str = ""
    content: str | list[Raw] | None = None
    name: str = ""
    arguments: str = ""
    call_id: str = ""
    output: str | list[Raw] | None = ""
    id: str = ""
    server_label: str = ""
    error: Any = None
    summary: list[Raw] = []
    encrypted_content: str | None = None


class _InputPart(Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Raw | UnsetType = UNSET


_items = msgspec.json.Decoder(str | list[Raw])
_item = msgspec.json.Decoder(_InputItem)
_part = msgspec.json.Decoder(_InputPart)
ROLES = ("user", "assistant", "system", "developer")
WHY_CHAT = (
    "This request is sent as a chat completion, because its model's backend has no /v1/responses, or because it uses a "
    "vector store or a template of this gateway."
)
SKIPPED = ("file_search_call", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response")
"""Items that are no messages. The results of a search belong to an earlier question, and the new one is searched again.
Tools are listed anew, and approvals are handled where the calls are made."""
TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


def messages(instructions: Raw | None, given: Raw | None) -> list[Message]:
    """Translate `instructions` and `given`, which is the field `input`, to chat messages.

    Raises `BadRequest`, which names the item, for content that chat completions lack.
    """
    collected: list[Message] = []
    if instructions is not None and bytes(instructions) not in (b"null", b'""'):
        collected.append({"role": "system", "content": instructions})
    if given is None or bytes(given) == b"null":
        return collected
    items = _items.decode(given)
    if isinstance(items, str):
        return [*collected, {"role": "user", "content": items}]
    talk = _Talk(collected)
    for place, raw in enumerate(items):
        where = f"input[{place}]"
        talk.add(decoded(_item, raw, where), where)
    return talk.end()


class _Talk:
    """Collects chat messages. The last assistant message stays open, because further items may belong to the same
    answer."""

    def __init__(self, collected: list[Message]) -> None:
        self._messages = collected
        self._open: Message | None = None
        self._reasoning = ""
        self._results: list[Message] = []
        """The results of MCP calls in the open message, which follow it."""

    def add(self, item: _InputItem, where: str) -> None:
        if item.type == "message":
            self._message(item, where)
        elif item.type == "function_call":
            call = {"name": item.name, "arguments": item.arguments}
            entry = {"id": item.call_id, "type": "function", "function": call}
            self._answer().setdefault("tool_calls", []).append(entry)
        elif item.type == "function_call_output":
            self._close()
            content = _content(item.output or "", f"{where}.output", only_text=True)
            self._messages.append({"role": "tool", "tool_call_id": item.call_id, "content": content})
        elif item.type == "mcp_call":
            self._mcp_call(item)
        elif item.type == "reasoning":
            self._thought(item, where)
        elif item.type not in SKIPPED:
            raise _unknown(f"{where}.type", item.type, "messages, function calls, their outputs, and reasoning")

    def end(self) -> list[Message]:
        self._close()
        return self._messages

    def _mcp_call(self, item: _InputItem) -> None:
        """Add a finished call of an MCP tool, with its result."""
        if self._results:
            self._close()
        call = {"name": function_name(item.server_label, item.name), "arguments": item.arguments or "{}"}
        self._answer().setdefault("tool_calls", []).append({"id": item.id, "type": "function", "function": call})
        failed = f"The tool failed: {msgspec.json.encode(item.error).decode()}" if item.error else ""
        text = failed or (item.output if isinstance(item.output, str) else "")
        self._results.append({"role": "tool", "tool_call_id": item.id, "content": text})

    def _message(self, item: _InputItem, where: str) -> None:
        if item.role not in ROLES:
            raise _unknown(f"{where}.role", item.role, ", ".join(ROLES))
        if item.content is None and item.role == "assistant":
            return  # an empty answer
        if item.content is None:
            raise missing(f"{where}.content")
        content = _content(item.content, f"{where}.content")
        if self._results:
            self._close()
        if item.role == "assistant" and "content" not in self._answer():
            self._answer()["content"] = content
            return
        self._close()
        if item.role == "assistant":
            self._answer()["content"] = content
        else:
            # servers without `/v1/responses` often lack the role "developer"
            role = "system" if item.role == "developer" else item.role
            self._messages.append({"role": role, "content": content})

    def _thought(self, item: _InputItem, where: str) -> None:
        shown = item.content if isinstance(item.content, list) and item.content else item.summary
        text = "\n\n".join(decoded(_part, part, where).text for part in shown)
        if not text and item.encrypted_content:
            raise BadRequest(
                f"Unsupported value: '{where}' is encrypted reasoning, which only the model that wrote it can read. "
                "Leave the item out.",
                param=f"{where}.encrypted_content",
                code="unsupported_value",
            )
        # reasoning starts a new answer, so it does not belong to an assistant message before it
        self._close()
        self._reasoning = text

    def _answer(self) -> Message:
        if self._open is None:
            self._open = {"role": "assistant"}
            if self._reasoning:
                self._open["reasoning_content"], self._reasoning = self._reasoning, ""
        return self._open

    def _close(self) -> None:
        if self._reasoning:
            self._answer()
        if self._open is not None:
            self._messages.append({"content": None} | self._open if "content" not in self._open else self._open)
            self._open = None
        self._messages += self._results
        self._results = []


def _content(content: str | list[Raw], where: str, *, only_text: bool = False) -> Any:
    """Translate the content of an item. A single text becomes a string; any other content becomes chat's
    content parts."""
    if isinstance(content, str):
        return content
    places = [f"{where}[{number}]" for number in range(len(content))]
    parts = [_translated(decoded(_part, raw, place), place) for place, raw in zip(places, content, strict=True)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    for place, part in zip(places, parts, strict=True):
        if only_text and part["type"] != "text":
            raise _unknown(f"{place}.type", part["type"], "only text, as a function's output")
    return parts


def _translated(part: _InputPart, where: str) -> dict[str, Any]:
    if part.type in TEXTS:
        return {"type": "text", "text": part.text}
    if part.type == "refusal":
        return {"type": "refusal", "refusal": part.refusal}
    if part.type == "input_audio" and part.input_audio is not UNSET:
        return {"type": "input_audio", "input_audio": part.input_audio}
    if part.type == "input_image" and part.image_url:
        image = {"url": part.image_url} | ({"detail": part.detail} if part.detail else {})
        return {"type": "image_url", "image_url": image}
    if part.type == "input_image":
        raise _unknown(f"{where}.file_id", "a stored file", "images by 'image_url', which may be a data URL")
    if part.type == "input_file" and not part.file_url:
        fields = {"file_id": part.file_id, "file_data": part.file_data, "filename": part.filename}
        return {"type": "file", "file": {name: value for name, value in fields.items() if value is not None}}
    if part.type == "input_file":
        raise _unknown(f"{where}.file_url", "a file by its URL", "files by 'file_data'")
    raise _unknown(f"{where}.type", part.type, "text, images, audio and files")


def _unknown(param: str, value: str, known: str) -> BadRequest:
    return BadRequest(
        f"Unsupported value: '{param}' is {value!r}, and chat completions take {known}. {WHY_CHAT}",
        param=param,
        code="unsupported_value",
    )
