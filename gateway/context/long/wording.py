"""The words that this folder needs in each language. Each language has one file in `words/`."""

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
    """Examples of each kind of task, for comparison by meaning. They are empty for a language that the default embedder
    does not support."""

    summary: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    local: tuple[str, ...] = ()


class LongWording(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The patterns for the chooser, and the prompts for the model that reads a text in parts."""

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
        """A pattern that matches any of the entries. `..` in an entry stands for a few words of the same sentence."""
        escaped = [re.escape(word).replace(r"\.\.", GAP) for word in sorted(words, key=len, reverse=True)]
        joined = "|".join(escaped)
        return re.compile(rf"(?<!\w)(?:{joined})(?!\w)" if self.spaced else joined, re.IGNORECASE)


def _read(path: Path) -> LongWording:
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), LongWording)


WORDINGS: Mapping[str, LongWording] = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def wording_of(language: str) -> LongWording:
    """The words of a language, or those of English if the language has no file."""
    return WORDINGS.get(language) or WORDINGS["en"]
