"""The fields of a template file. `schema.py` reads them, and `docs/templates.md` explains them."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from gateway.prompt.language.vocabulary import VOCABULARY
from gateway.prompt.templates.patterns import Pattern

SCHEMA = 1
ID = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


class Status(StrEnum):
    DRAFT = "draft"
    CANDIDATE = "candidate"
    CANARY = "canary"
    ACTIVE = "active"
    RETIRED = "retired"


class Technique(StrEnum):
    DIRECT = "direct"
    FEW_SHOT = "few-shot"
    CHAIN_OF_THOUGHT = "chain-of-thought"
    GENERATED_KNOWLEDGE = "generated-knowledge"
    REPHRASE = "rephrase"
    SELF_CONSISTENCY = "self-consistency"
    ITERATE = "iterate"
    REWRITE = "rewrite"


class Purpose(StrEnum):
    """Whether a template answers prompts, or tells a refiner how to improve them."""

    ANSWER = "answer"
    REFINE = "refine"


class Language(StrEnum):
    """The languages of templates. An added language becomes a member when it is first named."""

    EN = "en"
    ZH = "zh"

    @classmethod
    def _missing_(cls, value: object) -> "Language | None":
        if value not in VOCABULARY:
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = str(value).upper(), str(value)
        return member


class SlotSource(StrEnum):
    """Where a slot's value comes from. `finders.py` has a function for each source."""

    QUERY = "query"
    PAYLOAD = "payload"
    INSTRUCTION = "instruction"
    QUESTION = "question"
    SECTION = "section"
    QUOTED = "quoted"
    CODE = "code"
    OPTIONS = "options"
    CHOICE = "choice"
    LANGUAGE = "language"
    NUMBER = "number"
    DATE = "date"
    URL = "url"
    EMAIL = "email"
    PATTERN = "pattern"


class SlotType(StrEnum):
    """The type of a slot's value. `values.py` has a function for each type."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    LIST = "list"
    ENUM = "enum"
    LANGUAGE = "language"
    CODE = "code"


class IntentSpec(Struct, frozen=True):
    """What a template is for, by name and examples. `match` and `not_` train the classifier."""

    name: str
    match: tuple[str, ...] = ()
    not_: tuple[str, ...] = field(default=(), name="not")
    keywords: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    """Other intents whose prompts this template also serves. If the classifier hesitates only between these intents,
    the prompt counts as certain.
    """
    always: bool = False
    """Ignored. A template is used for every prompt of its intent; older files still have this key."""


class Slot(Struct, frozen=True):
    """A value that the body needs. The `sources` are tried in order."""

    sources: tuple[SlotSource, ...]
    required: bool = False
    default: str = ""
    max_chars: int = 0
    pattern: Pattern | None = None
    values: Mapping[str, tuple[str, ...]] = {}
    """The values of a `choice` or `section`, each with the words that stand for it."""
    type: SlotType | None = None
    """The type that the words are converted to. With None, the words are used as they are."""
    nearest: float = 0.0
    """The minimum similarity of a word to an enum's value. With 0, only the words in `values` count."""


class Extract(Struct, frozen=True):
    """A model call for the slots that the rules left empty."""

    model: str = ""
    """The model to call; "" means the model that answers."""
    slots: tuple[str, ...] = ()
    """The slots to fill; () means every slot with a type."""
    timeout_ms: int = 3000
    max_tokens: int = 200


class Shot(Struct, frozen=True):
    """A few-shot example."""

    input: str
    output: str
    id: str = ""


class ExamplePool(Struct, frozen=True):
    """Labelled examples in a file or a collection. Each request gets the `k` examples nearest to its `slot`."""

    pool: str = ""
    """A JSONL file, relative to the template's file."""
    collection: str = ""
    """A collection whose chunks are the examples. The last line of a chunk is the output, the rest is the input."""
    k: int = 6
    input: str = "text"
    output: str = "label"
    as_: str = field(default="list", name="as")
    """`turns`: each example is a user and an assistant message. `list`: the body writes the examples."""
    balanced: bool = False
    """Whether each output gets at most an equal share of `k`."""
    budget_tokens: int = 0
    """The maximum number of tokens of all examples together; 0: no limit. The least similar examples are dropped
    first.
    """
    slot: str = ""
    """The slot that an example's input fills. By default, the slot from `payload`, or else the query."""
    question: str = ""
    """The question about a text that all examples answer; "" if they answer several questions."""
    labels: tuple[str, ...] = ()
    """The answers to the question. By default, the outputs of the examples."""
    required: bool | None = None
    """Whether the template is only for that question. By default, it is if there is a `question`."""


class Output(Struct, frozen=True):
    """Settings of the decoder. A setting is used only if the client does not set it."""

    max_tokens: int = 0
    temperature: float | None = None
    stop: tuple[str, ...] = ()


class FirstCall(Struct, frozen=True):
    """A call before the call that answers. The part `# call <name>` is its prompt. Its answer is the value `<name>` in
    the body.
    """

    max_tokens: int = 200
    temperature: float | None = 0.0
    stop: tuple[str, ...] = ()
    timeout_s: float = 20.0
    model: str = ""
    """The model to call; "" means the model that answers."""


class ReasoningRule(Struct, frozen=True):
    """What happens to the reasoning. `split` moves it from the answer to `reasoning_content`."""

    mode: str = "keep"
    marker: str = ""
    """The beginning of the line with the final answer, such as `Answer:`."""


class Samples(Struct, frozen=True):
    """Several answers to one prompt. The most frequent result wins."""

    n: int
    temperature: float = 0.7
    answer: Pattern | None = None
    """The pattern that finds the result in an answer. The last match counts, or the group of that match. By default,
    the result is the text after the marker.
    """


class Check(Struct, frozen=True):
    """A requirement for an answer. An answer passes if it meets every field that is set."""

    json_schema: Mapping[str, Any] | None = None
    regex: Pattern | None = None
    min_words: int = 0
    max_words: int = 0
    max_chars: int = 0
    language: str = ""
    contains: str = ""
    not_contains: str = ""
    judge: str = ""
    """A question to a model, which may use `{{ answer }}` and the slots."""
    passes: str = "yes"
    """The beginning of the judge's reply if the answer passes."""
    model: str = ""
    """The judge's model; "" means the model that answers."""


class Iterate(Struct, frozen=True):
    """Further rounds after a failed check. Each round sends the failures to the model (the part `# retry`) and checks
    the new answer.

    There are at most `rounds` rounds. The best answer is used.
    """

    rounds: int = 1
    budget_tokens: int = 0
    """No round begins after the answers have taken this many tokens; 0: no limit."""


class ModelPatterns(Struct, frozen=True):
    """The models that may get the template. A name may end in `*`."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    min_window: int = 0


class Optimise(Struct, frozen=True):
    """The parts of the template that an optimising job may change."""

    components: tuple[str, ...] = ()
    max_chars: int = 0
    task_calls: int = 0


class Expect(Struct, frozen=True):
    """An expectation about the messages that a test renders."""

    contains: str = ""
    not_contains: str = ""
    max_words: int = 0
    roles: tuple[str, ...] = ()
    system_contains: str = ""
    no_match: bool = False
    """Whether a slot must stay empty, so that the template is not used."""


class TemplateTest(Struct, frozen=True):
    """A test with a query or slot values, and expectations about the rendered messages."""

    expect: tuple[Expect, ...]
    query: str = ""
    slots: Mapping[str, str] = {}


class Provenance(Struct, frozen=True):
    """Where the content comes from. `scores` is written by a job."""

    origin: str = "author"
    author: str = ""
    licence: str = ""
    source: str = ""
    parent: str = ""
    run: str = ""
    scores: Mapping[str, str] = {}
