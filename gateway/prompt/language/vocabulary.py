"""The word lists of all languages: the built-in lists in `words/`, and lists in folders that the configuration names.

The name of a folder is its language code, and its file `words.toml` is the word list. If a language sets `spaced =
true`, blanks separate its words. In other languages, a word matches anywhere in a text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct, field

from gateway.errors import ForewordError
from gateway.prompt.language.answer_words import FormWords, LimitWords, NeedWords, Rewording

FOLDER = Path(__file__).parent / "words"
WORDS_FILE, PROMPTS_FILE = "words.toml", "prompts.jsonl"
"""The names of the files in the folder of an added language."""


class TaskWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Words and patterns that show a task about a text, such as "translate" and "the following text"."""

    polite: tuple[str, ...] = ()
    wishes: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()
    closings: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    article: str = ""
    offers: tuple[str, ...] = ()
    introductions: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    technical: tuple[str, ...] = ()
    """Names of programs, systems and programming languages. They show that a request is about code or a machine."""
    machines: tuple[str, ...] = ()
    """Everyday words of machines and programs, such as `printer` and `password`."""
    fillers: tuple[str, ...] = ()
    """Words, in an unspaced language characters, that people leave out of search words."""
    plain_forms: Mapping[str, str] = {}
    """The plain form of each verb form that follows an opening, such as `compare` for `comparing`."""
    question_end: str = ""
    """The particle that ends a question and is left over when a polite opening is removed."""
    asking: tuple[str, ...] = ()
    """Patterns of what stands right before a request in the middle of a sentence."""
    sequels: tuple[str, ...] = ()
    """Patterns with which the second of several tasks begins."""
    frames: tuple[str, ...] = ()
    """Sentences around a request, with the place `{request}`. They do not tell what is asked."""


class KeepWords(Struct, frozen=True, forbid_unknown_fields=True):
    """The words and patterns of one language that must survive a rewrite. Links, numbers, quotations and code must
    survive in every language.
    """

    negations: tuple[str, ...] = ()
    negated: int = 2
    constraints: tuple[str, ...] = ()
    constrained: int = 3
    formats: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    and_: tuple[str, ...] = field(default=(), name="and")


class NumberWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Number words. A unit, such as `hundred`, multiplies the number directly before it. A group, such as `thousand`,
    multiplies the whole number before it.
    """

    digits: Mapping[str, int] = {}
    units: Mapping[str, int] = {}
    groups: Mapping[str, int] = {}
    joins: tuple[str, ...] = ()
    vague: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()


class DateWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Month names, and the words and patterns of dates."""

    months: Mapping[str, int] = {}
    days: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    relative: tuple[str, ...] = ()


class HostileWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Words that tell a model to ignore or to reveal its instructions."""

    verbs: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class RefineWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Words for checking a refiner's answer, and the label above the original prompt.

    The refiner may paraphrase the words in `loose`. It must not add the words in `limits`, since they would change the
    task.
    """

    refusals: tuple[str, ...] = ()
    lead_ins: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    original: str = ""


class QuestionWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Words of questions that ask for a label, and words of other questions about a text."""

    stops: tuple[str, ...] = ()
    frame: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    starters: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class GivenWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Patterns for words that specify a property of the answer, such as its length or tone."""

    format: tuple[str, ...] = ()
    length: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    tone: tuple[str, ...] = ()
    count: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


class ExtractWords(Struct, frozen=True, forbid_unknown_fields=True):
    """The text of the request that asks a model for the values of slots."""

    ask: str = ""
    text: str = ""


class LanguageWords(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of one language's word list."""

    spaced: bool = True
    common: tuple[str, ...] = ()
    """Function words in lower case. They show the language of a short prompt."""
    task: TaskWords = TaskWords()
    led: Mapping[str, str] = {}
    keep: KeepWords = KeepWords()
    numbers: NumberWords = NumberWords()
    dates: DateWords = DateWords()
    hostile: HostileWords = HostileWords()
    refine: RefineWords = RefineWords()
    extract: ExtractWords = ExtractWords()
    given: GivenWords = GivenWords()
    form: FormWords = FormWords()
    needs: NeedWords = NeedWords()
    limits: LimitWords = LimitWords()
    question: QuestionWords = QuestionWords()
    rewordings: tuple[Rewording, ...] = ()
    """Rules for rewording a request. The classifier also learns from the reworded requests, so that it depends less on
    the wording.
    """

    def whole(self, patterns: Iterable[str]) -> str:
        """Return one pattern that matches any of these patterns. In a spaced language, the pattern matches only whole
        words.
        """
        joined = "|".join(patterns)
        if not joined:
            return r"(?!)"
        return rf"(?<!\w)(?:{joined})(?!\w)" if self.spaced else f"(?:{joined})"


def read_words(folder: Path) -> dict[str, LanguageWords]:
    """Read every language file of a folder. The name of a file is the code of its language."""
    return {
        path.stem: msgspec.toml.decode(path.read_bytes(), type=LanguageWords) for path in sorted(folder.glob("*.toml"))
    }


class Vocabulary(Mapping[str, LanguageWords]):
    """The words of all languages, built-in and added, by language code.

    The process has only one vocabulary, so a code means the same language in templates, prompts and rules.
    """

    def __init__(self, shipped: Mapping[str, LanguageWords]) -> None:
        self.shipped = tuple(shipped)
        self.folders: Mapping[str, Path] = {}
        """The folders of the added languages, by language code."""
        self.changes = 0
        self._words = dict(shipped)

    def use(self, folders: Iterable[Path]) -> None:
        """Replace all added languages by the languages in these folders. Raises `LanguageUnusable`."""
        added = {folder.name: folder.resolve() for folder in folders}
        if added == self.folders:
            return
        for code in added:
            if not re.fullmatch("[a-z]{2,3}", code):
                raise LanguageUnusable(f"{added[code]}: a folder's name is the code of its language, such as 'es'")
            if code in self.shipped:
                raise LanguageUnusable(f"{added[code]}: the language {code!r} is built in")
        words = {code: _read_folder(folder) for code, folder in added.items()}
        self.folders = added
        self._words = {code: self._words[code] for code in self.shipped} | words
        self.changes += 1

    def __getitem__(self, code: str) -> LanguageWords:
        return self._words[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


class LanguageUnusable(ForewordError):
    """A language's folder cannot be used. The message names the file and the mistake."""


def _read_folder(folder: Path) -> LanguageWords:
    file = folder / WORDS_FILE
    try:
        return msgspec.toml.decode(file.read_bytes(), type=LanguageWords)
    except (OSError, ValueError) as error:
        raise LanguageUnusable(f"{file} cannot be read: {error}") from error


VOCABULARY = Vocabulary(read_words(FOLDER))

T = TypeVar("T")


class Derived(Generic[T]):
    """A value that is computed from the words of all languages.

    The value is computed at its first use, and again at the first use after the added languages have changed.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._changes = -1
        self._value: T | None = None

    def __call__(self) -> T:
        if self._changes != VOCABULARY.changes:
            self._value, self._changes = self._make(), VOCABULARY.changes
        return self._value  # type: ignore[return-value]  # it was computed above


def any_of(parts: Iterable[str]) -> re.Pattern[str]:
    """Return one compiled pattern that matches any of the parts in lower-case text. The part `(?!)`, which never
    matches, is left out.
    """
    return re.compile("|".join(part for part in parts if part != r"(?!)") or r"(?!)")


def folded(text: str) -> str:
    """Return the text in lower case, with every character at the same index as before."""
    low = text.lower()
    if len(low) == len(text):
        return low
    return "".join(small if len(small := character.lower()) == 1 else character for character in text)
