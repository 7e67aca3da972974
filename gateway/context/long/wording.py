"""The words that this folder needs in each language: one file each in `words/`."""

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent / "words"
GAP = r"[^.!?。！？\n]{0,40}?"


class TaskExamples(Struct, frozen=True, forbid_unknown_fields=True):
    """Example tasks of each kind, for comparison by meaning. Empty for a language that the default embedder cannot
    handle."""

    summary: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    local: tuple[str, ...] = ()


class LongWording(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The patterns of the chooser, and the prompts for a model that reads in parts."""

    spaced: bool
    summary: tuple[str, ...]
    whole: tuple[str, ...]
    asks: tuple[str, ...]
    map: str
    reduce: str
    refine: str
    final: str
    passages: str
    earlier: str
    talk: str
    nothing: str
    like: TaskExamples = TaskExamples()

    @cached_property
    def wants_summary(self) -> re.Pattern[str]:
        return self._any(self.summary)

    @cached_property
    def wants_whole(self) -> re.Pattern[str]:
        return self._any(self.whole)

    @cached_property
    def wants(self) -> re.Pattern[str]:
        return self._any(self.asks)

    def _any(self, words: tuple[str, ...]) -> re.Pattern[str]:
        """A pattern for any of the entries. `..` in an entry matches a few words of the same sentence."""
        escaped = [re.escape(word).replace(r"\.\.", GAP) for word in sorted(words, key=len, reverse=True)]
        joined = "|".join(escaped)
        return re.compile(rf"(?<!\w)(?:{joined})(?!\w)" if self.spaced else joined, re.IGNORECASE)


def _read(path: Path) -> LongWording:
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), LongWording)


WORDINGS: Mapping[str, LongWording] = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def wording_of(language: str) -> LongWording:
    """The words of a language; those of English if it has no file."""
    return WORDINGS.get(language) or WORDINGS["en"]
