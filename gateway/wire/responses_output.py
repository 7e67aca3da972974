"""The output items of a response while they are being written, and the events that tell of them."""

from collections.abc import Iterator
from typing import Any, ClassVar

Event = tuple[str, dict[str, Any]]
"""An event's type and its fields, without the sequence number."""


class Item:
    """One output item. `index` is its place in the response's output."""

    prefix: ClassVar[str]

    def __init__(self, suffix: str, index: int) -> None:
        self.id = f"{self.prefix}_{suffix}_{index}"
        self.index = index
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def at(self, **fields: Any) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index, **fields}

    def as_json(self, status: str) -> dict[str, Any]:
        raise NotImplementedError

    def open(self) -> Iterator[Event]:
        raise NotImplementedError

    def grow(self, text: str, logprobs: list[Any]) -> Event:
        raise NotImplementedError

    def close(self) -> Iterator[Event]:
        raise NotImplementedError


class Spoken(Item):
    """An item with one content part. `kind` is the part's type and its events', `field` what holds its text."""

    kind: ClassVar[str]
    field: ClassVar[str] = "text"

    def part(self, text: str) -> dict[str, Any]:
        return {"type": self.kind, self.field: text}

    def content(self, status: str) -> list[dict[str, Any]]:
        return [] if status == "in_progress" else [self.part(self.text)]

    def open(self) -> Iterator[Event]:
        yield "response.content_part.added", self.at(content_index=0, part=self.part(""))

    def grow(self, text: str, logprobs: list[Any]) -> Event:
        self._texts.append(text)
        return f"response.{self.kind}.delta", self.at(content_index=0, delta=text)

    def close(self) -> Iterator[Event]:
        yield f"response.{self.kind}.done", self.at(content_index=0, **{self.field: self.text})
        yield "response.content_part.done", self.at(content_index=0, part=self.part(self.text))


class Refusal(Spoken):
    prefix, kind, field = "msg", "refusal", "refusal"

    def as_json(self, status: str) -> dict[str, Any]:
        said = {"status": status, "role": "assistant", "content": self.content(status)}
        return {"id": self.id, "type": "message", **said}


class Message(Refusal):
    prefix, kind, field = "msg", "output_text", "text"

    def __init__(self, suffix: str, index: int) -> None:
        super().__init__(suffix, index)
        self._logprobs: list[Any] = []

    def part(self, text: str) -> dict[str, Any]:
        return {**super().part(text), "annotations": [], "logprobs": self._logprobs if text else []}

    def grow(self, text: str, logprobs: list[Any]) -> Event:
        self._logprobs += logprobs
        type, fields = super().grow(text, logprobs)
        return type, {**fields, "logprobs": logprobs}

    def close(self) -> Iterator[Event]:
        (type, fields), part = super().close()
        yield type, {**fields, "logprobs": self._logprobs}
        yield part


class Reasoning(Spoken):
    prefix, kind = "rs", "reasoning_text"

    def as_json(self, status: str) -> dict[str, Any]:
        said = {"status": status, "summary": [], "content": self.content(status)}
        return {"id": self.id, "type": "reasoning", **said}


class FunctionCall(Item):
    prefix = "fc"

    def __init__(self, suffix: str, index: int, call_id: str, name: str) -> None:
        super().__init__(suffix, index)
        self.call_id = call_id or f"call_{suffix}_{index}"
        self.name = name

    def as_json(self, status: str) -> dict[str, Any]:
        said = {"arguments": self.text, "call_id": self.call_id, "name": self.name}
        return {"id": self.id, "type": "function_call", "status": status, **said}

    def open(self) -> Iterator[Event]:
        return iter(())

    def grow(self, text: str, logprobs: list[Any]) -> Event:
        self._texts.append(text)
        return "response.function_call_arguments.delta", self.at(delta=text)

    def close(self) -> Iterator[Event]:
        yield "response.function_call_arguments.done", self.at(name=self.name, arguments=self.text)
