"""Lookup tables for the passes over the records. Each process reads a table's file once."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.found_prompt import FoundPrompt, PromptState
from gateway.prompt.found.index import PromptIndex, ShapeIndex
from gateway.prompt.found.shape import TextShape

COUNTERS = 2**24
"""The number of feature counters. Features that share a counter seem more frequent than they are."""


class SystemShape(Struct, frozen=True):
    """The shape of a system message that requests with one key send to one endpoint."""

    key: str
    endpoint: str
    shape: TextShape


class SystemTable:
    """Finds the shape that a system message matches. A shape is identified by its number, which is its position in the
    file."""

    def __init__(self, systems: list[SystemShape]) -> None:
        self._tables: dict[tuple[str, str], ShapeIndex[int]] = {}
        places = {(one.key, one.endpoint) for one in systems}
        for place in places:
            own = [(one.shape, number) for number, one in enumerate(systems) if (one.key, one.endpoint) == place]
            self._tables[place] = ShapeIndex(own)

    def number(self, key: str, endpoint: str, system: str) -> int:
        """Return the number of the matching shape with the most fixed text, or -1 if no shape matches."""
        table = self._tables.get((key, endpoint))
        matches = table.matches(system) if table is not None else []
        return matches[0].meaning if matches else -1


def write_known(file: Path, value: Any) -> None:
    """Write a table's file, completely or not at all. Equal values always produce equal files."""
    draft = file.with_suffix(".tmp")
    draft.write_bytes(msgspec.msgpack.encode(value))
    draft.replace(file)


@lru_cache(maxsize=4)
def prompt_index(file: str) -> PromptIndex:
    """Return the index of the prompts in a file, with the ignored ones, since they must not be mined again."""
    prompts = msgspec.msgpack.decode(Path(file).read_bytes(), type=list[FoundPrompt])
    return PromptIndex(replace(prompt, state=PromptState.FOUND) for prompt in prompts)


@lru_cache(maxsize=4)
def system_table(file: str) -> SystemTable:
    return SystemTable(msgspec.msgpack.decode(Path(file).read_bytes(), type=list[SystemShape]))


@lru_cache(maxsize=2)
def counters(file: str) -> "np.ndarray[Any, np.dtype[np.uint32]]":
    """Return the counters of features, uint32 [COUNTERS]. The array is mapped from its file, so only the used
    parts are read."""
    table: np.ndarray[Any, np.dtype[np.uint32]] = np.load(file, mmap_mode="r")
    return table
