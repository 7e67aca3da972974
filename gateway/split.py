"""A query taken apart into what it asks and the text it is about, as a value. `prompt/language/payload.py` does it."""

from msgspec import Struct


class TextSpan(Struct, frozen=True):
    """Characters [start, end) of the query."""

    start: int
    end: int


class Split(Struct, frozen=True):
    """A query taken apart. `payload` is None where it could not be told apart; `instruction` are the
    other spans, and the whole query then."""

    query: str
    instruction: tuple[TextSpan, ...]
    payload: TextSpan | None = None
    rule: str = ""

    @property
    def payload_text(self) -> str:
        return self.query[self.payload.start : self.payload.end] if self.payload else ""

    @property
    def instruction_text(self) -> str:
        return " ".join(self.query[span.start : span.end] for span in self.instruction)
