"""Words in each language for long inputs. Each language has a file in `words/`."""

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent / "words"
GAP = r"[^.!?。！？\n]{0,40}?"


class LongWording(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The patterns that choose a strategy, and the prompts for a model that reads a text in parts."""

    spaced: bool
    ordered: tuple[str, ...]
    """Words of tasks for which the order of things in the text matters."""
    map: str
    reduce: str
    refine: str
    final: str
    passages: str
    earlier: str
    moved: str
    """The remark in place of a text that was moved to the last message."""
    talk: str
    nothing: str
    of_document: str
    """The words that name the document of a part, with `{title}`."""
    computed: str
    """The title of the figures that code has computed."""
    counted: str
    """The title of a merged list, with `{total}` and `{different}`."""
    sorts: tuple[str, ...]
    """Words of a task that asks for sorted rows."""
    falls: tuple[str, ...]
    """Words of a task that asks for rows in descending order."""
    items: str
    """The sentence that states the number of list items of a text, with `{total}`."""
    computes: tuple[str, ...]
    """Words of a task that the figures of a table can answer."""
    piece: str
    """The note before a piece that is transformed, with `{n}` and `{of}`."""
    piece_terms: str
    piece_lead: str
    terms: str
    """The prompt that asks how names and terms are written in the result, with `{task}` and `{terms}`."""
    translates: tuple[str, ...]
    """Words of a task, such as a translation, that gives names and terms another form."""

    @cached_property
    def speaks_of_order(self) -> re.Pattern[str]:
        return self._any(self.ordered)

    @cached_property
    def speaks_of_figures(self) -> re.Pattern[str]:
        return self._any(self.computes)

    @cached_property
    def speaks_of_sorting(self) -> re.Pattern[str]:
        return self._any(self.sorts)

    @cached_property
    def speaks_of_falling(self) -> re.Pattern[str]:
        return self._any(self.falls)

    @cached_property
    def speaks_of_translation(self) -> re.Pattern[str]:
        return self._any(self.translates)

    def _any(self, words: tuple[str, ...]) -> re.Pattern[str]:
        """Return a pattern that matches any entry. `..` in an entry stands for a few words of the same sentence."""
        escaped = [re.escape(word).replace(r"\.\.", GAP) for word in sorted(words, key=len, reverse=True)]
        joined = "|".join(escaped)
        return re.compile(rf"(?<!\w)(?:{joined})(?!\w)" if self.spaced else joined, re.IGNORECASE)


def _read(path: Path) -> LongWording:
    return msgspec.convert(tomllib.loads(path.read_text("utf-8")), LongWording)


WORDINGS: Mapping[str, LongWording] = {path.stem: _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def wording_of(language: str) -> LongWording:
    """Return the words of a language, or of English if the language has no file."""
    return WORDINGS.get(language) or WORDINGS["en"]
