"""Parts of tool calls find the call that they belong to."""

import pytest

from gateway.wire.chat.calls import CallSorter
from gateway.wire.chat.completion import CalledFunction, CallPart


def part(index: int | None = None, id: str | None = None, name: str | None = None) -> CallPart:
    return CallPart(index, id, CalledFunction(name, "{}"))


@pytest.mark.parametrize(
    ("parts", "numbers"),
    [
        ([part(0, "a", "f"), part(0), part(1, "b", "g"), part(0), part(1)], [0, 0, 1, 0, 1]),
        ([part(0, "a", "f"), part(0, "b", "g"), part(0), part(0, "a")], [0, 1, 1, 0]),
        ([part(None, "a", "f"), part(None, "b", "f"), part(), part(None, "a")], [0, 1, 1, 0]),
        ([part(None, None, "f"), part(), part(None, None, "f"), part()], [0, 0, 1, 1]),
        ([part(0, "x1", "f"), part(0, "x2"), part(0, "x3")], [0, 0, 0]),
        ([part(0, "a", "f"), part(0, "a", "f"), part(0, None, "f")], [0, 0, 0]),
        ([part(0, None, "f"), part(0, None, "g")], [0, 1]),
        ([part(0), part(0, "a"), part(0, None, "f")], [0, 0, 0]),
        ([part(3, "a", "f"), part(7, "b", "g"), part(3)], [0, 1, 0]),
    ],
    ids=["by index", "all 0", "no index", "order alone", "new ids", "name repeated", "names", "late", "odd indexes"],
)
def test_parts_are_told_apart_by_id_then_index_then_order(parts: list[CallPart], numbers: list[int]) -> None:
    sorter = CallSorter()

    assert [sorter.number(each) for each in parts] == numbers
