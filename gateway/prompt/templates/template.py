"""A parsed template file, and the rendering of its messages. `parse.py` makes templates from files."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any

from msgspec import Struct

from gateway.ask import Turn
from gateway.errors import TemplateError
from gateway.prompt.language.given import Settled
from gateway.prompt.templates.allow_list import GIVEN
from gateway.prompt.templates.body_filters import RenderedTooLong
from gateway.prompt.templates.fields import (
    Check,
    ExamplePool,
    Extract,
    FirstCall,
    IntentSpec,
    Iterate,
    Language,
    ModelPatterns,
    Optimise,
    Output,
    Provenance,
    Purpose,
    ReasoningRule,
    Samples,
    Shot,
    Slot,
    SlotSource,
    Status,
    Technique,
    TemplateTest,
)
from gateway.prompt.templates.findings import Finding
from gateway.prompt.templates.sandbox import QUERY, CompiledBody

VERSION = re.compile("[0-9]{1,9}")


class TemplatePart(Struct, frozen=True):
    """One message of the template. `line` is the line number of its heading in the file."""

    role: str
    source: str
    line: int
    body: CompiledBody


class Template(Struct, frozen=True, dict=True):
    """A parsed template file. `digest` is the SHA-256 of the file's text.

    `content` is the SHA-256 of everything in the file that can affect a model's answer. Versions with the same
    `content` render the same messages.
    """

    id: str
    version: int
    status: Status
    language: Language
    family: str
    intent: IntentSpec
    technique: Technique
    slots: Mapping[str, Slot]
    examples: tuple[Shot, ...] | ExamplePool
    calls: Mapping[str, FirstCall]
    reasoning: ReasoningRule
    samples: Samples | None
    checks: tuple[Check, ...]
    iterate: Iterate | None
    output: Output
    models: ModelPatterns
    optimise: Optimise
    tests: tuple[TemplateTest, ...]
    provenance: Provenance
    parts: tuple[TemplatePart, ...]
    """The messages of the prompt, in order."""
    first: Mapping[str, TemplatePart]
    """The prompts of the first calls, by the name of the call."""
    retry: TemplatePart | None
    """The message that is sent after an answer has failed a check."""
    judges: Mapping[int, CompiledBody]
    """The questions for the judge, by the index of the check."""
    file: str
    digest: str
    content: str = ""
    proven_only: bool = False
    """Whether the template needs a row of the gain table in mode `on` too. `[templates.x] mode` comes first."""
    description: str = ""
    purpose: Purpose = Purpose.ANSWER
    growth_chars: int = 0
    """The maximum number of characters that the template may add to the query. 0 means the gateway's limit."""
    extract: Extract | None = None
    places: Mapping[str, tuple[int, int]] = {}
    """The line and column of each top-level key, slot and test in the head. Error messages show them."""
    home: str = ""
    """The folder to which the path of the examples file is relative, or "" for the folder of `file`."""
    pool_digest: str = ""
    """The SHA-256 of the examples file, or "" if there is no such file or it cannot be read."""
    faults: tuple[Finding, ...] = ()
    """Errors that were found when the library was loaded. A template with faults is not used."""

    @property
    def ref(self) -> str:
        """The id and the version as `id@version`, the format that `read_ref` parses."""
        return f"{self.id}@{self.version}"

    @property
    def active(self) -> bool:
        """Whether the template may be used for requests of its intent: it has the status active and no faults."""
        return self.status is Status.ACTIVE and not self.faults

    @property
    def whole(self) -> bool:
        """Whether the last message contains the client's message as one piece.

        The classifier chooses only templates for which this is true.
        """
        return self.parts[-1].body.whole

    @property
    def bodies(self) -> Iterator[CompiledBody]:
        """Yield every body of the template."""
        parts = (*self.parts, *self.first.values(), *([self.retry] if self.retry else ()))
        return chain((part.body for part in parts), self.judges.values())

    @property
    def one_question(self) -> bool:
        """Whether the template is used only for requests that ask the same question as its examples."""
        pool = self.examples
        return isinstance(pool, ExamplePool) and bool(pool.question) and pool.required is not False

    @cached_property
    def used_names(self) -> frozenset[str]:
        """The names that the messages use: slots, `query`, `given`, lists, and names of first calls."""
        return frozenset().union(*(part.body.names for part in self.parts))

    @cached_property
    def text_digest(self) -> str:
        """The digest of everything that a model can see, including the examples file. Gains are measured for this
        digest.
        """
        if not self.pool_digest:
            return self.content
        return hashlib.sha256(f"{self.content}{self.pool_digest}".encode()).hexdigest()

    @property
    def shot_slot(self) -> str:
        """The slot that the input of an example fills."""
        if isinstance(self.examples, ExamplePool) and self.examples.slot:
            return self.examples.slot
        return next((name for name, slot in self.slots.items() if SlotSource.PAYLOAD in slot.sources), "query")

    @property
    def shot_turns(self) -> bool:
        """Whether each example becomes a user message and an assistant message."""
        return isinstance(self.examples, ExamplePool) and self.examples.as_ == "turns"

    def render(
        self, values: Mapping[str, str], shots: Sequence[Shot] = (), labels: Sequence[str] = ()
    ) -> tuple[Turn, ...]:
        """Render the messages. `values` has the values of slots and `query`. A missing slot is rendered as "".

        Raises `TemplateError` if a rendered part is too long.
        """
        context = self._context(values, () if self.shot_turns else shots, labels)
        turns: list[Turn] = []
        for part in self.parts[:-1]:
            text = self._text(part, context)
            if text:
                turns.append(Turn(part.role, text))
        ask = self.parts[-1]
        if self.shot_turns:
            for shot in shots:
                turns += (Turn("user", self._example(ask, shot, context)), Turn("assistant", shot.output))
        turns.append(self._question(ask, context))
        return tuple(turns)

    def ask_first(self, name: str, values: Mapping[str, str], shots: Sequence[Shot], labels: Sequence[str]) -> str:
        """Render the prompt of the first call `name`. Raises `TemplateError` if the prompt is too long."""
        return self._text(self.first[name], self._context(values, shots, labels))

    def ask_again(self, values: Mapping[str, str], answer: str, failures: Sequence[str]) -> str:
        """Render the message that follows an answer with failures. Raises `TemplateError` if the
        message is too long.
        """
        assert self.retry is not None
        return self._text(self.retry, {**self._context(values), "answer": answer, "failures": tuple(failures)})

    def ask_judge(self, check: int, values: Mapping[str, str], answer: str) -> str:
        """Render the judge's question for one check. Raises `TemplateError` if the question is too long."""
        part = TemplatePart("checks", "", self.places.get("checks", (0, 0))[0], self.judges[check])
        return self._text(part, {**self._context(values), "answer": answer})

    def _context(
        self, values: Mapping[str, str], shots: Sequence[Shot] = (), labels: Sequence[str] = ()
    ) -> dict[str, Any]:
        context: dict[str, Any] = dict.fromkeys((*self.slots, *self.calls), "")
        if GIVEN not in self.slots and any(GIVEN in body.names for body in self.bodies):
            context[GIVEN] = Settled(values.get(QUERY, ""))
        context.update(values)
        context["examples"] = tuple(shots)
        context["labels"] = tuple(labels)
        return context

    def _example(self, part: TemplatePart, shot: Shot, context: Mapping[str, Any]) -> str:
        """Return the user message for an example.

        If the template sends the client's message as one piece, the user message is the example's input unchanged.
        """
        if self.whole:
            return shot.input
        return self._text(part, {**context, QUERY: shot.input, self.shot_slot: shot.input})

    def _question(self, part: TemplatePart, context: Mapping[str, Any]) -> Turn:
        """Render the last message.

        If the client's message is one piece of the text, the turn records the offset of that piece.
        """
        if not part.body.whole or QUERY not in context:
            return Turn(part.role, self._text(part, context))
        with self._located(part):
            before, after = part.body.render_around(context)
        return Turn(part.role, f"{before}{context[QUERY]}{after}", offset=len(before))

    def _text(self, part: TemplatePart, context: Mapping[str, Any]) -> str:
        with self._located(part):
            return part.body.render(context)

    @contextmanager
    def _located(self, part: TemplatePart) -> Iterator[None]:
        try:
            yield
        except RenderedTooLong as error:
            raise TemplateError(self.file, f"`# {part.role}` {error}", part.line, 1) from error


def read_ref(ref: str) -> tuple[str, int | None]:
    """Return the id and the version of `id@version`. Raises `ValueError`.

    The version is None if the reference is only an id.
    """
    id, at, version = ref.partition("@")
    if at and not VERSION.fullmatch(version):
        raise ValueError(f"{version[:40]!r} is not a version; a version is a whole number")
    return id, int(version) if at else None
