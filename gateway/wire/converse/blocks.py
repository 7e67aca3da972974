"""Translates chat messages to `system` and `messages` of the Converse API.

The roles of its messages alternate, so consecutive messages of one role are joined. Results of tools are blocks of a
user's message.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from gateway.wire.chat.completion import loose_json, text_of
from gateway.wire.chat.foreign_api import ForeignApi
from gateway.wire.chat.request import (
    SYSTEM,
    TEXTS,
    ChatContentPart,
    ChatMessage,
    GivenAudio,
    ImageUrl,
    StoredOrGivenFile,
    data_of,
    is_text,
)
from gateway.wire.gemini.signatures import OF_GEMINI
from gateway.wire.json_fields import NULL
from gateway.wire.loose_objects import object_of
from gateway.wire.messages.losses import Losses

Block = dict[str, Any]
CONVERSE = ForeignApi("the Converse API", "This request is sent to Amazon Bedrock's Converse API.")
KNOWN = "text, images, audio and files"
IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
AUDIO = ("wav", "mp3")
DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
LONGEST_ID = 64
NO_OUTPUT = "(no output)"
BLANK_BEGINS = b' \t\\"'
"""The bytes that may follow the first quote of a blank text, as JSON."""
_BLANK = re.compile(rb'"(?:[ \t]|\\[nrt])*"')
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9 \-()\[\]]+| {2,}")


class CacheMarks:
    """Translates `cache_control` to the marks of the Converse API, for models that take them."""

    def __init__(self, are_taken: bool, losses: Losses) -> None:
        self.are_taken = are_taken
        self._losses = losses

    def after(self, control: Raw | UnsetType) -> list[Block]:
        """Return the mark that stands after a block with this `cache_control`, or nothing."""
        if control is UNSET or bytes(control) == NULL:
            return []
        if not self.are_taken:
            self._losses.add("cache_control", "the model has no cache")
            return []
        ttl = text_of(object_of(loose_json(bytes(control))).get("ttl"))
        return [{"cachePoint": {"type": "default"} | ({"ttl": ttl} if ttl else {})}]


class ConverseTalk:
    """The translated messages."""

    def __init__(self, marks: CacheMarks, losses: Losses) -> None:
        self.system: list[Block] = []
        self.messages: list[dict[str, Any]] = []
        self.called: dict[str, None] = {}
        """The names of the tools that were called, in their order."""
        self._marks = marks
        self._losses = losses
        self._documents = 0

    def add(self, message: ChatMessage, place: int) -> None:
        """Translate one message. Raises `BadRequest`, which names the part, for content that the API lacks."""
        if message.role in SYSTEM:
            if self.messages:
                self._losses.add("place of a system message", "moved to the front")
            self.system += self._blocks(message, place, only_text=True)
        elif message.role == "assistant":
            self._add("assistant", self._assistant(message, place))
        elif message.role == "tool":
            self._add("user", self._result(message, place))
        elif message.role == "user":
            self._add("user", self._blocks(message, place))
        else:
            raise CONVERSE.unsupported(f"messages[{place}].role", message.role, "system, user, assistant and tool")

    def _add(self, role: str, blocks: list[Block]) -> None:
        if self.messages and self.messages[-1]["role"] == role:
            self.messages[-1]["content"] += blocks
        elif blocks:
            self.messages.append({"role": role, "content": blocks})

    def _assistant(self, message: ChatMessage, place: int) -> list[Block]:
        if message.function_call is not UNSET and bytes(message.function_call) != NULL:
            raise CONVERSE.unsupported(f"messages[{place}].function_call", "an older form", "'tool_calls'")
        blocks: list[Block] = []
        if message.has_reasoning:
            blocks += self._reasoning(message)
        blocks += self._blocks(message, place)
        if message.refusal:
            blocks.append({"text": message.refusal})
        for number, call in enumerate(message.tool_calls or ()):
            if call.type != "function":
                raise CONVERSE.unsupported(f"messages[{place}].tool_calls[{number}].type", call.type, "functions")
            self.called[call.function.name] = None
            function = call.function
            called = {"toolUseId": tool_id(call.id), "name": function.name, "input": function.input}
            blocks.append({"toolUse": called})
        return blocks

    def _reasoning(self, message: ChatMessage) -> list[Block]:
        """Return the reasoning with its signatures, which the models that wrote it want back."""
        blocks: list[Block] = []
        for raw in message.thinking_blocks or ():
            block = object_of(loose_json(bytes(raw)))
            signature, data = text_of(block.get("signature")), text_of(block.get("data"))
            if block.get("type") == "redacted_thinking" and data:
                blocks.append({"reasoningContent": {"redactedContent": data}})
            elif signature and not signature.startswith(OF_GEMINI):
                text = {"text": text_of(block.get("thinking")), "signature": signature}
                blocks.append({"reasoningContent": {"reasoningText": text}})
            else:
                self._losses.add("reasoning_content", "only reasoning with a signature of the model is taken")
        if not blocks:
            self._losses.add("reasoning_content", "only reasoning with a signature of the model is taken")
        return blocks

    def _result(self, message: ChatMessage, place: int) -> list[Block]:
        points: list[Block] = []
        if is_text(message.content) and not _is_blank(message.content):
            content: list[Block] = [{"text": message.content}]
        else:
            content = self._blocks(message, place)
        if len(content) > 1:
            points = [block for block in content if "cachePoint" in block]
            content = [block for block in content if "cachePoint" not in block]
        if not content:
            self._losses.add("an empty result of a tool", f"sent as {NO_OUTPUT!r}, since the API refuses empty texts")
            content = [{"text": NO_OUTPUT}]
        result: Block = {"toolUseId": tool_id(message.tool_call_id), "content": content}
        if message.is_error:
            result["status"] = "error"
        return [{"toolResult": result}, *points]

    def _blocks(self, message: ChatMessage, place: int, *, only_text: bool = False) -> list[Block]:
        """Return the blocks of a message's content. Blank texts are left out, because the API refuses them."""
        content = message.content
        if is_text(content):
            return [] if _is_blank(content) else [{"text": content}]
        blocks: list[Block] = []
        where = f"messages[{place}].content"
        for number, part in enumerate(message.parts(where)):
            block = self._block(part, f"{where}[{number}]")
            if only_text and "text" not in block:
                raise CONVERSE.unsupported(f"{where}[{number}].type", part.type, "only text here")
            if "text" in block and _is_blank(block["text"]):
                continue
            blocks += [block, *self._marks.after(part.cache_control)]
        return blocks

    def _block(self, part: ChatContentPart, where: str) -> Block:
        if part.type in TEXTS:
            return {"text": part.text}
        if part.type == "refusal":
            return {"text": part.refusal}
        if part.type == "image_url" and part.image_url is not None:
            return self._image(part.image_url, f"{where}.image_url.url")
        if part.type == "input_audio" and part.input_audio is not None:
            return _audio(part.input_audio, f"{where}.input_audio.format")
        if part.type == "file" and part.file is not None and part.file.file_data:
            return self._document(part.file, f"{where}.file.file_data")
        if part.type == "file":
            raise CONVERSE.unsupported(f"{where}.file", "a stored file", "files by 'file_data'")
        raise CONVERSE.unsupported(f"{where}.type", part.type, KNOWN)

    def _image(self, image: ImageUrl, where: str) -> Block:
        if image.detail not in (None, "auto"):
            self._losses.add("image_url.detail")
        kind, data = data_of(image.url)
        source: Block = {"bytes": data}
        if not data and image.url.startswith("s3://"):
            kind, source = _kind_of_name(image.url), {"s3Location": {"uri": image.url}}
        elif not data:
            raise CONVERSE.unsupported(where, image.url[:60], "images as data URLs or at s3://")
        if kind not in IMAGES:
            known = "images of the types " + ", ".join(IMAGES.values())
            raise CONVERSE.unsupported(where, kind or image.url[:60], known)
        return {"image": {"format": IMAGES[kind], "source": source}}

    def _document(self, file: StoredOrGivenFile, where: str) -> Block:
        kind, data = data_of(file.file_data)
        kind, data = kind or "application/pdf", data or file.file_data
        if kind not in DOCUMENTS:
            raise CONVERSE.unsupported(where, kind, "documents of the types " + ", ".join(DOCUMENTS.values()))
        self._documents += 1
        name = _NOT_IN_NAMES.sub(" ", (file.filename or "").rpartition(".")[0] or file.filename or "").strip()
        # the API wants a name, and wants each name only once
        name = f"{name[:190]} {self._documents}" if name else f"document {self._documents}"
        return {"document": {"format": DOCUMENTS[kind], "name": name, "source": {"bytes": data}}}


def talk_of(messages: Sequence[ChatMessage], marks: CacheMarks, losses: Losses) -> ConverseTalk:
    """Translate the messages of a chat request."""
    talk = ConverseTalk(marks, losses)
    for place, message in enumerate(messages):
        talk.add(message, place)
    return talk


def tool_id(id: str) -> str:
    """Return an id that the API takes. Ids of other providers may be longer, and then become a digest."""
    if _ID.fullmatch(id):
        return id
    return "call_" + hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[: LONGEST_ID - 5]


def _is_blank(text: str | Raw) -> bool:
    if isinstance(text, str):
        return not text.strip()
    view = memoryview(text)
    # most texts begin with a letter, which is found sooner than a pattern is tried
    return len(view) > 1 and view[1] in BLANK_BEGINS and _BLANK.fullmatch(text) is not None


def _audio(audio: GivenAudio, where: str) -> Block:
    if audio.format not in AUDIO:
        raise CONVERSE.unsupported(where, audio.format, " and ".join(AUDIO))
    return {"audio": {"format": audio.format, "source": {"bytes": audio.data}}}


def _kind_of_name(name: str) -> str:
    ending = name.rpartition(".")[2].lower()
    return next((kind for kind, format in IMAGES.items() if ending in (format, kind.partition("/")[2])), "")
