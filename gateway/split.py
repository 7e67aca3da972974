"""The two parts of a query: its instruction, and the text that the instruction is about.

`prompt/language/payload.py` splits queries.
"""

from msgspec import Struct


class TextSpan(Struct, frozen=True):
    """A part of the query: the characters from `start` up to, but not including, `end`."""

    start: int
    end: int


class Split(Struct, frozen=True):
    """A query in two parts. If the query has no payload, `instruction` is the whole query."""

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
