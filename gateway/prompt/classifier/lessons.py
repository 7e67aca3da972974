"""Collects the training data: examples in templates, our seed prompts, and the operator's labelled prompts.

Each language has its own data. A `match` example is a case of its intent, and a labelled prompt is a case of its label.
A `not` example is a near miss of its intent. A prompt in `unknown.jsonl` has no intent. A seed prompt with instruction
and payload is a case of its intent if the library has a template for that intent. Otherwise the seed prompt is a case
of no intent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.classifier.instruction import InstructionModel
from gateway.prompt.classifier.labelled import NONE, Labelled, is_outside, outside
from gateway.prompt.classifier.view import Look, form_marks, look, whole
from gateway.prompt.language.vocabulary import PROMPTS_FILE, VOCABULARY, LanguageUnusable
from gateway.prompt.language.wording import without_frame
from gateway.prompt.library.library import Library
from gateway.prompt.templates.template import Template

REWORDINGS = 3
"""The classifier learns at most this many other wordings of each seed prompt, apart from the one as search words."""
SEARCHED_CHARS = 110
"""A longer instruction is not shortened to search words, since nobody types it that way."""
FEWEST_OF_A_KIND = 10  # with fewer prompts, a kind of prompt without a template is not a class of its own
FEWEST_SEARCH_WORDS = 2
_ENDS = ".!?:;。！？：；"
R = TypeVar("R")
_PUNCTUATION = re.compile(r"[.,;:?!，；：？！]+(?=\s|\Z)|[。，；：？！“”\"]")
SEED = Path(__file__).parent / "seed"


class SeedPrompt(Struct, frozen=True):
    """A prompt whose instruction and payload are stored separately. `intent` is the name of an intent, or `none:` and a
    kind of prompt that has no template.
    """

    intent: str
    instruction: str
    payload: str = ""
    order: str = ""
    language: str = ""

    def texts(self, nth: int) -> tuple[str, ...]:
        """Return the prompt as users might write it: as one text, or as two texts with different layouts of the
        payload. `nth` chooses the layouts.
        """
        if not self.payload:
            return (self.instruction,)
        if self.order == "text-first":
            return (f"{self.payload}\n\n{self.instruction}",)
        return tuple(written(self.instruction, self.payload, nth + step) for step in (0, 3))


class Seeds(Struct, frozen=True):
    """Our seed prompts: raw prompts, well-specified prompts, pairs of a raw and a better prompt, prompts with a known
    intent, and prompts without an intent.
    """

    improvable: tuple[tuple[str, bool], ...]
    pairs: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, str], ...]
    """The prompts without an intent, as (text, language). The language "" stands for all languages."""
    prompts: tuple[SeedPrompt, ...] = ()


class Lesson(Struct, frozen=True):
    """A prompt with its class. For a near miss, the class is the intent that the prompt does not have."""

    text: str
    intent: str
    seen: Look
    listed: bool = False
    """Whether the prompt is a template's `match` example."""
    crossed: bool = False
    """Whether the payload comes from another prompt."""
    group: str = ""
    """The instruction of a seed prompt, or "". Prompts with the same instruction are held out together."""


class Lessons(Struct, frozen=True):
    """The training data of one language."""

    language: str
    cases: tuple[Lesson, ...]
    near_misses: tuple[Lesson, ...]
    keywords: dict[str, tuple[str, ...]]
    near: dict[str, tuple[str, ...]] = {}
    """For each intent, the other intents that its template serves too."""
    whole: bool = False
    """Whether prompts are read whole, with instruction and payload together. True if the language has no templates."""
    seeded: bool = False
    """Whether the cases include our seed prompts."""


class _SeedRow(Struct):
    text: str = ""
    improvable: bool = False
    raw: str = ""
    better: str = ""
    language: str = ""


def read_seeds(folder: Path = SEED) -> Seeds:
    """Read the seed prompts of the package and of the added languages."""
    return Seeds(
        improvable=tuple((row.text, row.improvable) for row in _rows(folder / "improvable.jsonl")),
        pairs=tuple((row.raw, row.better) for row in _rows(folder / "pairs.jsonl")),
        unknown=tuple((row.text, row.language) for row in _rows(folder / "unknown.jsonl")),
        prompts=(
            *(prompt for code in VOCABULARY.shipped for prompt in read_prompts(folder / f"{code}.jsonl", code)),
            *(prompt for code, own in VOCABULARY.folders.items() for prompt in read_prompts(own / PROMPTS_FILE, code)),
        ),
    )


def read_prompts(file: Path, language: str) -> tuple[SeedPrompt, ...]:
    """Read the seed prompts of one language. The result is empty if there is no file. Raises `LanguageUnusable`."""
    if not file.exists():
        return ()
    try:
        return tuple(replace(row, language=language) for row in _decoded(file, SeedPrompt))
    except msgspec.MsgspecError as error:
        raise LanguageUnusable(f"{file}: {error}") from error


def lessons(
    library: Library,
    seeds: Seeds,
    labelled: Sequence[Labelled] = (),
    instructions: Mapping[str, InstructionModel] | None = None,
) -> list[Lessons]:
    """Collect the training data of every language of the active templates and the labelled prompts.

    If sources give one prompt different classes, templates have priority over labelled prompts, and labelled prompts
    over our seeds. `instructions` are the models that find an instruction, by language.
    """
    active = [template for template in library.templates if template.active]
    languages = {template.language.value for template in active} | {row.language for row in labelled if row.intent}
    models = instructions or {}
    return [_of(language, active, seeds, labelled, models.get(language)) for language in sorted(languages - {""})]


def _of(
    language: str,
    active: Sequence[Template],
    seeds: Seeds,
    labelled: Iterable[Labelled],
    instructions: InstructionModel | None,
) -> Lessons:
    templates = [template for template in active if template.language == language]
    intents = {text: template.intent.name for template in templates for text in template.intent.match}
    listed = len(intents)
    for row in labelled:
        if row.language == language:
            intents.setdefault(row.text, row.intent)
    for text, spoken in seeds.unknown:
        if spoken in (language, ""):
            intents.setdefault(text, NONE)

    def read(text: str) -> Look:
        return look(text, None, instructions) if templates else whole(text)

    cases = {text: Lesson(text, intent, read(text), row < listed) for row, (text, intent) in enumerate(intents.items())}
    own = [prompt for prompt in seeds.prompts if prompt.language == language]
    for case in _seed_cases(own, {template.intent.name for template in templates}, read):
        cases.setdefault(case.text, case)
    misses = [(text, template.intent.name) for template in templates for text in template.intent.not_]
    return Lessons(
        language,
        tuple(cases.values()),
        tuple(Lesson(text, intent, read(text)) for text, intent in misses),
        {t.intent.name: tuple(word.lower() for word in t.intent.keywords) for t in templates},
        {t.intent.name: t.intent.near for t in templates if t.intent.near},
        whole=not templates,
        seeded=bool(own),
    )


def _seed_cases(prompts: Sequence[SeedPrompt], known: Container[str], read: Callable[[str], Look]) -> Iterator[Lesson]:
    """Yield the seed prompts as cases. Each instruction is also yielded with the payload of another prompt. Of the
    cases that look the same to the classifier, only the first is yielded.
    """
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    kinds = Counter(prompt.intent for prompt in prompts)
    for prompt, text, crossed in (*_as_written(prompts), *_crossed(prompts)):
        view = read(text)
        intent = prompt.intent if prompt.intent in known else outside(prompt.intent)
        if is_outside(intent) and kinds[prompt.intent] < FEWEST_OF_A_KIND:
            intent = NONE
        # payloads are not read, so many of these cases look the same
        form = (view.request, intent, tuple(form_marks(view)))
        if form not in seen:
            seen.add(form)
            yield Lesson(text, intent, view, crossed=crossed, group=prompt.instruction)


def _as_written(prompts: Sequence[SeedPrompt]) -> Iterator[tuple[SeedPrompt, str, bool]]:
    for nth, prompt in enumerate(prompts):
        for written in (prompt, *_reworded(prompt, nth)):
            for text in written.texts(nth):
                yield prompt, text, False


def _reworded(prompt: SeedPrompt, nth: int) -> Iterator[SeedPrompt]:
    """Yield the prompt in at most `REWORDINGS` other wordings and in a frame, which `nth` chooses."""
    searched = as_search(prompt.instruction, prompt.language)
    if searched:
        yield replace(prompt, instruction=searched)
    framed = _framed(prompt.instruction, prompt.language, nth)
    if framed:
        yield replace(prompt, instruction=framed)
    texts = [text for text in _rewordings(prompt) if text.lower() != prompt.instruction.lower()]
    for step in range(min(REWORDINGS, len(texts))):
        yield replace(prompt, instruction=texts[(nth + step * (1 + len(texts) // REWORDINGS)) % len(texts)])


def _framed(instruction: str, language: str, nth: int) -> str:
    """Return the instruction beside a sentence that says nothing about what is asked, so that such sentences count for
    no intent. The result is "" if the language has no such sentences.
    """
    frames = VOCABULARY[language].task.frames if language in VOCABULARY else ()
    if not frames:
        return ""
    ended = instruction if instruction[-1:] in _ENDS else f"{instruction}{'.' if instruction.isascii() else '。'}"
    return frames[nth % len(frames)].replace("{request}", ended)


def as_search(instruction: str, language: str) -> str:
    """Return an instruction as people type it into a search box: its words of content, in lower case. The result is ""
    if too little is left, or if nothing is left out.
    """
    if language not in VOCABULARY or len(instruction) > SEARCHED_CHARS:
        return ""
    words = VOCABULARY[language]
    plain = _PUNCTUATION.sub(" ", without_frame(instruction).lower())
    fillers = frozenset(words.task.fillers)
    if words.spaced:
        content = [word for word in plain.split() if word not in fillers]
        searched, enough = " ".join(content), len(content) >= FEWEST_SEARCH_WORDS
    else:
        searched = " ".join("".join(part if part not in fillers else "" for part in run) for run in plain.split())
        enough = len(searched) > FEWEST_SEARCH_WORDS
    return searched if enough and searched != instruction.lower() else ""


def _rewordings(prompt: SeedPrompt) -> Iterator[str]:
    for rewording in VOCABULARY[prompt.language].rewordings if prompt.language in VOCABULARY else ():
        match = re.fullmatch(rewording.of, prompt.instruction, re.I)
        if match:
            yield from (text.format_map(match.groupdict()) for text in rewording.into)


def _crossed(prompts: Sequence[SeedPrompt]) -> Iterator[tuple[SeedPrompt, str, bool]]:
    pasted = [prompt for prompt in prompts if prompt.payload]
    step = len(pasted) // 2 + 7
    for nth, prompt in enumerate(pasted):
        other = pasted[(nth + step) % len(pasted)]
        if other.intent != prompt.intent:
            yield prompt, written(prompt.instruction, other.payload, nth), True


def written(instruction: str, payload: str, nth: int) -> str:
    """Write an instruction and its payload in one of five layouts, which `nth` chooses."""
    match nth % 5:
        case 0:
            return f"{instruction}\n\n{payload}"
        case 1:
            return f"{instruction.rstrip(':：')}: {payload}"
        case 2:
            return f"{instruction}\n{payload}"
        case 3:
            return f'{instruction}\n"{payload}"'
        case _:
            return f"{payload}\n\n{instruction}"


def _rows(file: Path) -> list[_SeedRow]:
    return _decoded(file, _SeedRow)


def _decoded(file: Path, kind: type[R]) -> list[R]:
    return [msgspec.json.decode(line, type=kind) for line in file.read_bytes().splitlines() if line.strip()]
