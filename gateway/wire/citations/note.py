"""Compares the numbers that an answer cites with the sources that the model received."""

from gateway.exchange import Note
from gateway.wire.chat.answer import read_answer
from gateway.wire.citations.marks import marks_in


def numbers_in(text: str) -> list[int]:
    """Return the numbers that a text cites as [1], [2, 3] or 【1】, without duplicates, in the order of the text."""
    return list(dict.fromkeys(number for mark in marks_in(text) for number in mark.numbers))


def held_against(text: str, sources: int) -> dict[str, list[int]]:
    """Split the cited numbers into `cited`, which have a source, and `unknown`, which have none. Sources are numbered
    from 1."""
    numbers = numbers_in(text)
    return {
        "cited": [number for number in numbers if 1 <= number <= sources],
        "unknown": [number for number in numbers if not 1 <= number <= sources],
    }


def note(sources: int, body: bytes, content_type: str = "application/json") -> Note:
    """Return the note about an answer's citations, for the client and the record."""
    numbers = held_against(read_answer(body, content_type).text, sources)
    reason = f"no source has the number {', '.join(map(str, numbers['unknown']))}" if numbers["unknown"] else ""
    return Note("sources", "cited" if numbers["cited"] else "not cited", reason, numbers)
