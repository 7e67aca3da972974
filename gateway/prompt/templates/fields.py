"""The fields of a template file. `schema.py` reads the fields, and `docs/templates.md` explains them."""

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
    """Whether the template answers prompts or tells a refiner how to improve prompts."""

    ANSWER = "answer"
    REFINE = "refine"


class Language(StrEnum):
    """The languages of templates. A language that an operator has added becomes a member at its first use."""

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
    """The sources of a slot's value. `finders.py` has a function for each source."""

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
    TECHNICAL = "technical"
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
    """The intent that a template serves, with its name and examples. `match` and `not_` train the classifier."""

    name: str
    match: tuple[str, ...] = ()
    not_: tuple[str, ...] = field(default=(), name="not")
    keywords: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    """Other intents whose prompts the template also serves.

    If the only other likely intents are these, the classifier still counts as certain of the template's own intent.
    """
    always: bool = False
    """Ignored. The key is accepted because older files have it. A template is now used for every prompt
    of its intent.
    """


class Slot(Struct, frozen=True):
    """A value for the body. The `sources` are tried in order until one has a value."""

    sources: tuple[SlotSource, ...]
    required: bool = False
    default: str = ""
    max_chars: int = 0
    pattern: Pattern | None = None
    values: Mapping[str, tuple[str, ...]] = {}
    """The values of a slot from `choice` or `section`, each with the words that stand for the value in a query."""
    type: SlotType | None = None
    """The type to which the words are converted. With None, the words are used unchanged."""
    nearest: float = 0.0
    """The minimum similarity between a word of the query and a value of the enum. With 0, only the words in `values`
    are recognised.
    """


class Extract(Struct, frozen=True):
    """A model call that fills the slots that the rules left empty."""

    model: str = ""
    """The model to call. "" means the model that answers the prompt."""
    slots: tuple[str, ...] = ()
    """The slots to fill. () means every slot that has a type."""
    timeout_ms: int = 3000
    max_tokens: int = 200


class Shot(Struct, frozen=True):
    """A few-shot example."""

    input: str
    output: str
    id: str = ""


class ExamplePool(Struct, frozen=True):
    """Labelled examples in a file or a collection.

    Each request gets the `k` examples whose inputs are most similar to the value of `slot`.
    """

    pool: str = ""
    """The path of a JSONL file, relative to the template's file."""
    collection: str = ""
    """A collection with one example in each chunk. The last line of the chunk is the output, and the lines before it
    are the input.
    """
    k: int = 6
    input: str = "text"
    output: str = "label"
    as_: str = field(default="list", name="as")
    """With `turns`, each example becomes a user message and an assistant message. With `list`, the body writes the
    examples.
    """
    balanced: bool = False
    """Whether each output gets at most an equal share of `k`."""
    budget_tokens: int = 0
    """The maximum number of tokens in all examples together. 0 means no limit. The least similar examples are dropped
    first.
    """
    slot: str = ""
    """The slot that the input of an example fills. The default is the slot from `payload`, or `query`
    if there is none.
    """
    question: str = ""
    """The one question that all examples answer about their texts, or "" if they answer several questions."""
    labels: tuple[str, ...] = ()
    """The possible answers to the question. The default is all outputs of the examples."""
    required: bool | None = None
    """Whether the template is used only for requests that ask the `question`. The default is True if there is a
    `question`.
    """


class Output(Struct, frozen=True):
    """Settings for the decoder. The client's own settings take precedence."""

    max_tokens: int = 0
    temperature: float | None = None
    stop: tuple[str, ...] = ()


class FirstCall(Struct, frozen=True):
    """A model call before the call that answers the prompt.

    The part `# call <name>` of the body is the prompt of this call. In later parts, `{{ <name> }}` is the answer.
    """

    max_tokens: int = 200
    temperature: float | None = 0.0
    stop: tuple[str, ...] = ()
    timeout_s: float = 20.0
    model: str = ""
    """The model to call. "" means the model that answers the prompt."""


class ReasoningRule(Struct, frozen=True):
    """Where the reasoning in an answer goes. The mode `split` moves it to `reasoning_content`."""

    mode: str = "keep"
    marker: str = ""
    """The text that begins the line with the final answer, such as `Answer:`."""


class Samples(Struct, frozen=True):
    """Several answers are requested for the same prompt. The most frequent result is used."""

    n: int
    temperature: float = 0.7
    answer: Pattern | None = None
    """The pattern that finds the result in an answer. The default is the text after the marker.

    If the pattern matches several times, the last match counts. If the pattern has a group, the result is the text of
    the group.
    """


class Check(Struct, frozen=True):
    """A requirement for answers. An answer passes if it meets the condition in every field that is set."""

    json_schema: Mapping[str, Any] | None = None
    regex: Pattern | None = None
    min_words: int = 0
    max_words: int = 0
    max_chars: int = 0
    language: str = ""
    contains: str = ""
    not_contains: str = ""
    judge: str = ""
    """A question to a judge about the answer. The question may use `{{ answer }}` and the slots."""
    passes: str = "yes"
    """The text that begins the judge's reply if the answer passes."""
    model: str = ""
    """The model that judges. "" means the model that answers the prompt."""


class Iterate(Struct, frozen=True):
    """Further rounds after an answer has failed a check.

    Each round sends the failures to the model, in the message `# retry`, and checks the new answer. There are at most
    `rounds` rounds. The best of all answers is used.
    """

    rounds: int = 1
    budget_tokens: int = 0
    """No new round begins once the answers have this many tokens in total. 0 means no limit."""


class ModelPatterns(Struct, frozen=True):
    """Patterns for the models that may get the template. `*` matches any characters."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    min_window: int = 0


class Optimise(Struct, frozen=True):
    """The components of the template that an optimising job may change, and the limits of the job."""

    components: tuple[str, ...] = ()
    max_chars: int = 0
    task_calls: int = 0


class Expect(Struct, frozen=True):
    """An expectation about the messages that a test renders. All fields that are set must be met."""

    contains: str = ""
    not_contains: str = ""
    max_words: int = 0
    roles: tuple[str, ...] = ()
    system_contains: str = ""
    no_match: bool = False
    """Whether the template is expected not to fit the query, because a required slot stays empty."""


class TemplateTest(Struct, frozen=True):
    """A test of the template. The input is a query or slot values, and `expect` describes the rendered messages."""

    expect: tuple[Expect, ...]
    query: str = ""
    slots: Mapping[str, str] = {}


class Provenance(Struct, frozen=True):
    """Where the content of the template comes from. A job writes `scores`."""

    origin: str = "author"
    author: str = ""
    licence: str = ""
    source: str = ""
    parent: str = ""
    run: str = ""
    scores: Mapping[str, str] = {}
