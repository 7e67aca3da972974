"""Word lists of one language: for the form of a prompt, the needs of its answer, and the limits that prompts state."""

from collections.abc import Mapping

from msgspec import Struct


class FormWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Words that are counted to judge how well a prompt is specified.

    In a spaced language, an entry of the first six fields is a word or two neighbouring words. In an unspaced language,
    every entry is a pattern.
    """

    constraints: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    detail: tuple[str, ...] = ()
    audience: tuple[str, ...] = ()
    polite: tuple[str, ...] = ()
    linking: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    """In a spaced language, words at the beginning of a question. In an unspaced language, words anywhere in a
    question.
    """


class NeedWords(Struct, frozen=True, forbid_unknown_fields=True):
    """Words which show that a prompt has examples, lacks a text, needs reasoning, or needs a tool.

    In a spaced language, an entry of letters, hyphens and dots is a whole word. Any other entry may occur anywhere.
    """

    example: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()


class Rewording(Struct, frozen=True, forbid_unknown_fields=True):
    """Other wordings of the instructions that match the pattern `of`. In `into`, `{name}` stands for a group of the
    pattern.
    """

    of: str
    into: tuple[str, ...]


class LimitPattern(Struct, frozen=True, forbid_unknown_fields=True):
    """A wording of one kind of limit. `bound` is `most`, `under`, `least` or `exact`, for a limit with a number.

    In the pattern, `{N}` stands for a number, `{Q}` for a quotation mark, `{QUOTED}` for a quotation, and `{LIST}` for
    a list of answers to choose from.
    """

    kind: str
    pattern: str
    bound: str = ""


class LimitWords(Struct, frozen=True, forbid_unknown_fields=True):
    """The wordings of limits on an answer, such as "at most 50 words"."""

    counts: Mapping[str, int] = {}
    """Words for numbers, with their values."""
    numbers: tuple[LimitPattern, ...] = ()
    texts: tuple[LimitPattern, ...] = ()
    flags: tuple[LimitPattern, ...] = ()
    languages: tuple[LimitPattern, ...] = ()
    """Patterns for the language of the answer. Their `kind` is the code of that language."""
    options: tuple[str, ...] = ()
    """Patterns whose group is a list of answers."""
    item: str = ""
    """The pattern of an answer that is not quoted, in a list of answers."""
    join: str = ""
    """The pattern of what stands between two answers."""
    splits: str = ""
    """For an `options` pattern without `{LIST}`: the pattern of what may stand between two answers in the matched text.
    """
    end: str = ""
    """The pattern of what follows a list."""
