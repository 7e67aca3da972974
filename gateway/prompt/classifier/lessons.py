"""Collects the training data: examples of the templates, our seed prompts, and the operator's labelled prompts.

In each language a `match` example is a case of its intent, a seed prompt in `unknown.jsonl` is a case of no intent, and
a labelled prompt is a case of its label. The `not` examples are near misses of their intent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.prompt.classifier.labelled import NONE, Labelled
from gateway.prompt.classifier.view import Look, look, whole
from gateway.prompt.library.library import Library
from gateway.prompt.templates.template import Template

SEED = Path(__file__).parent / "seed"


class Seeds(Struct, frozen=True):
    """Our own prompts: raw and well-specified ones, pairs of both, and prompts of no intent."""

    improvable: tuple[tuple[str, bool], ...]
    pairs: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, str], ...]
    """(text, language); a prompt without a language is in all of them."""


class Lesson(Struct, frozen=True):
    """A prompt with its class. The class of a near miss is the intent that it does not have."""

    text: str
    intent: str
    seen: Look
    listed: bool = False
    """Whether it is a `match` example of a template."""


class Lessons(Struct, frozen=True):
    """The training data of one language."""

    language: str
    cases: tuple[Lesson, ...]
    near_misses: tuple[Lesson, ...]
    keywords: dict[str, tuple[str, ...]]
    whole: bool = False
    """Whether prompts are read whole: without templates, instruction and payload are not separated."""


class _SeedRow(Struct):
    text: str = ""
    improvable: bool = False
    raw: str = ""
    better: str = ""
    language: str = ""


def read_seeds(folder: Path = SEED) -> Seeds:
    """The committed seed set."""
    return Seeds(
        improvable=tuple((row.text, row.improvable) for row in _rows(folder / "improvable.jsonl")),
        pairs=tuple((row.raw, row.better) for row in _rows(folder / "pairs.jsonl")),
        unknown=tuple((row.text, row.language) for row in _rows(folder / "unknown.jsonl")),
    )


def lessons(library: Library, seeds: Seeds, labelled: Sequence[Labelled] = ()) -> list[Lessons]:
    """The lessons of every language of the active templates and the labelled prompts.

    Where the same prompt has two classes, the templates come first, then the labelled prompts, then our seeds.
    """
    active = [template for template in library.templates if template.active]
    languages = {template.language.value for template in active} | {row.language for row in labelled if row.intent}
    return [_of(language, active, seeds, labelled) for language in sorted(languages - {""})]


def _of(language: str, active: Sequence[Template], seeds: Seeds, labelled: Iterable[Labelled]) -> Lessons:
    templates = [template for template in active if template.language == language]
    intents = {text: template.intent.name for template in templates for text in template.intent.match}
    listed = len(intents)
    for row in labelled:
        if row.language == language:
            intents.setdefault(row.text, row.intent)
    for text, spoken in seeds.unknown:
        if spoken in (language, ""):
            intents.setdefault(text, NONE)
    misses = [(text, template.intent.name) for template in templates for text in template.intent.not_]
    read = look if templates else whole
    return Lessons(
        language,
        tuple(Lesson(text, intent, read(text), row < listed) for row, (text, intent) in enumerate(intents.items())),
        tuple(Lesson(text, intent, read(text)) for text, intent in misses),
        {t.intent.name: tuple(word.lower() for word in t.intent.keywords) for t in templates},
        whole=not templates,
    )


def _rows(file: Path) -> list[_SeedRow]:
    return [msgspec.json.decode(line, type=_SeedRow) for line in file.read_bytes().splitlines() if line.strip()]
