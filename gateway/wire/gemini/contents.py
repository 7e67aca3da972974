"""Translates chat messages to `systemInstruction` and `contents` of the Gemini API."""

import mimetypes
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw, UnsetType

from gateway.errors import BadRequest
from gateway.wire.chat.completion import loose_json, text_of
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
    read_text,
)
from gateway.wire.gemini.signatures import MISSING, OF_GEMINI, parts_of_id, signature_beside
from gateway.wire.json_fields import NULL
from gateway.wire.loose_objects import object_of
from gateway.wire.messages.losses import Losses

Part = dict[str, Any]
GEMINI = ForeignApi("Gemini's API", "This request is sent to Gemini's API.")
KNOWN = "text, images, audio and files"
AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}
PDF = "application/pdf"


class Contents:
    """The translated messages."""

    def __init__(self, losses: Losses, *, must_be_signed: bool) -> None:
        """`must_be_signed` tells whether the model refuses calls without a signature."""
        self.instructions: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._losses = losses
        self._must_be_signed = must_be_signed
        self._names: dict[str, str] = {}

    def add(self, message: ChatMessage, place: int) -> None:
        """Translate one message. Raises `BadRequest`, which names the part, for content that the API lacks."""
        role = message.role
        if role == "assistant":
            if parts := self._assistant(message, place):
                self.contents.append({"role": "model", "parts": parts})
        elif role == "tool":
            self._add_results(self._result(message, place))
        elif role == "user":
            if parts := self._parts(message, place):
                self.contents.append({"role": "user", "parts": parts})
        elif role in SYSTEM:
            if self.contents:
                self._losses.add("place of a system message", "moved to the front")
            self.instructions += self._parts(message, place)
        else:
            raise GEMINI.unsupported(f"messages[{place}].role", message.role, "system, user, assistant and tool")

    def _add_results(self, parts: list[Part]) -> None:
        """Add the result of a tool. It is joined with a result before it, because the API wants those of one turn in
        one content."""
        if self.contents:
            before = self.contents[-1]["parts"]
            if "functionResponse" in before[0]:
                before += parts
                return
        self.contents.append({"role": "user", "parts": parts})

    def _assistant(self, message: ChatMessage, place: int) -> list[Part]:
        if message.function_call is not UNSET and bytes(message.function_call) != NULL:
            raise GEMINI.unsupported(f"messages[{place}].function_call", "an older form", "'tool_calls'")
        parts = self._parts(message, place)
        if message.refusal:
            parts.append({"text": message.refusal})
        if message.has_reasoning:
            parts += self._signatures(message)
        has_signature = not self._must_be_signed
        if not message.tool_calls:
            return parts
        for number, call in enumerate(message.tool_calls):
            if call.type != "function":
                raise GEMINI.unsupported(f"messages[{place}].tool_calls[{number}].type", call.type, "functions")
            own, signature = parts_of_id(call.id)
            if not signature and call.extra_content is not None:
                signature = signature_beside(call.extra_content)
            # of parallel calls only the first one is signed
            if not signature and not has_signature:
                signature = MISSING
                self._losses.add("signature of a call", "another model made the call, or the client cut its id")
            has_signature = True
            function = call.function
            self._names[call.id] = function.name
            called = {"name": function.name, "args": function.input}
            if own:
                called["id"] = own
            part: Part = {"functionCall": called}
            if signature:
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def _signatures(self, message: ChatMessage) -> list[Part]:
        """Return parts with the signatures of texts. A model reads its earlier reasoning from them alone."""
        blocks = [object_of(loose_json(bytes(block))) for block in message.thinking_blocks or ()]
        signatures = [text_of(block.get("signature")) for block in blocks]
        own = [signature for signature in signatures if signature.startswith(OF_GEMINI)]
        if not own:
            self._losses.add("reasoning_content", "a Gemini model reads only its own signed reasoning")
        return [{"text": "", "thoughtSignature": signature.removeprefix(OF_GEMINI)} for signature in own]

    def _result(self, message: ChatMessage, place: int) -> list[Part]:
        name = self._names.get(message.tool_call_id) or message.name
        if not name:
            where = f"messages[{place}]"
            raise BadRequest(
                f"Invalid value for '{where}.tool_call_id': no earlier message has a call with this id, and Gemini's "
                "API needs the function's name. Send the assistant's message with the call, or the field 'name'.",
                param=f"{where}.tool_call_id",
                code="invalid_value",
            )
        text: str | Raw = message.content
        others: list[Part] = []
        if not is_text(message.content):
            text, others = self._output(message, place)
        own, _ = parts_of_id(message.tool_call_id)
        response: Part = {"name": name, "response": {"error" if message.is_error else "output": text}}
        if own:
            response["id"] = own
        return [{"functionResponse": response}, *others]

    def _output(self, message: ChatMessage, place: int) -> tuple[str | Raw, list[Part]]:
        """Return the joined texts of a tool's result, and its other parts."""
        texts, others = [], []
        where = f"messages[{place}].content"
        for number, part in enumerate(message.parts(where)):
            if part.type in TEXTS:
                note_mark(part.cache_control, self._losses)
                texts.append(read_text(part.text, f"{where}[{number}].text"))
            else:
                others.append(self._part(part, f"{where}[{number}]"))
        return "\n".join(texts), others

    def _parts(self, message: ChatMessage, place: int) -> list[Part]:
        content = message.content
        if is_text(content):
            return [] if content == EMPTY else [{"text": content}]
        where = f"messages[{place}].content"
        return [self._part(part, f"{where}[{number}]") for number, part in enumerate(message.parts(where))]

    def _part(self, part: ChatContentPart, where: str) -> Part:
        note_mark(part.cache_control, self._losses)
        if part.type in TEXTS:
            return {"text": part.text}
        if part.type == "refusal":
            return {"text": part.refusal}
        if part.type == "image_url" and part.image_url is not None:
            if part.image_url.detail not in (None, "auto"):
                self._losses.add("image_url.detail")
            return _media(part.image_url.url)
        if part.type == "input_audio" and part.input_audio is not None:
            kind = part.input_audio.format
            if kind not in AUDIO:
                raise GEMINI.unsupported(f"{where}.input_audio.format", kind, " and ".join(AUDIO))
            return {"inlineData": {"mimeType": AUDIO[kind], "data": part.input_audio.data}}
        if part.type == "file" and part.file is not None and part.file.file_data:
            return self._file(part.file)
        if part.type == "file":
            raise GEMINI.unsupported(f"{where}.file", "a stored file", "files by 'file_data'")
        raise GEMINI.unsupported(f"{where}.type", part.type, KNOWN)

    def _file(self, file: StoredOrGivenFile) -> Part:
        if file.filename:
            self._losses.add("file.filename")
        kind, data = data_of(file.file_data)
        return {"inlineData": {"mimeType": kind or PDF, "data": data or file.file_data}}


def contents_of(messages: Sequence[ChatMessage], losses: Losses, *, must_be_signed: bool) -> Contents:
    """Translate the messages of a chat request."""
    translated = Contents(losses, must_be_signed=must_be_signed)
    for place, message in enumerate(messages):
        translated.add(message, place)
    return translated


def note_mark(control: Raw | UnsetType, losses: Losses) -> None:
    if control is not UNSET:
        losses.add("cache_control", "Gemini models cache by themselves")


def _media(url: str) -> Part:
    kind, data = data_of(url)
    if data:
        return {"inlineData": {"mimeType": kind, "data": data}}
    guessed, _ = mimetypes.guess_type(url.partition("?")[0])
    return {"fileData": {"fileUri": url} | ({"mimeType": guessed} if guessed else {})}
