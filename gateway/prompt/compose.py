"""Fills a template's slots, renders the template, and checks that the result keeps the user's words."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gateway import exchange as values
from gateway.ask import Turn
from gateway.exchange import Arm, Call, Sampling, SlotValue
from gateway.prompt import guards
from gateway.prompt.answers.technique import TechniqueRun, technique_of
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.slots.fill import FilledSlots, SlotMissing, fill
from gateway.prompt.templates.fields import Shot
from gateway.prompt.templates.template import Template
from gateway.split import Split


class ComposedPrompt(Struct, frozen=True):
    """A rendered template, before it replaces the prompt of the exchange."""

    template: Template
    turns: tuple[Turn, ...]
    slots: tuple[SlotValue, ...]
    shots: tuple[Shot, ...] = ()
    procedure: TechniqueRun | None = None
    calls: tuple[Call, ...] = ()
    dropped: tuple[str, ...] = ()
    """Slot values that a model gave and that were rejected."""

    def spoke(self, arm: Arm = Arm.NONE) -> values.Rewrite:
        template, shots = self.template, tuple(shot.id for shot in self.shots)
        return values.Rewrite(template.id, template.version, str(template.technique), self.slots, shots, arm)

    @property
    def data(self) -> dict[str, Any]:
        """Return the note's fields: the template, its slots with their places in the query, and its examples."""
        return {
            "template": self.template.id,
            "version": self.template.version,
            "technique": str(self.template.technique),
            "slots": {slot.name: [slot.source, slot.start, slot.end] for slot in self.slots},
            "shots": [shot.id for shot in self.shots],
        }

    @property
    def sampling(self) -> Sampling:
        output = self.template.output
        return Sampling(output.max_tokens, output.temperature, output.stop)


def keep_if_hostile(template: Template, query: str) -> None:
    """Raise `KeptAsIs` if the query tells the model to ignore its instructions or to show them."""
    words = guards.hostile(query)
    if words:
        raise KeptAsIs(f"the prompt tells the model to ignore or to show its instructions: {words[:60]!r}", template)


def fill_or_keep(
    template: Template,
    query: str,
    given: Sequence[SlotValue] = (),
    parts: Split | None = None,
    *,
    named: bool = False,
) -> FilledSlots:
    """Return the filled slots. Raises `KeptAsIs` if a required slot has no value."""
    filled = fill(template, query, given, parts, named=named)
    if isinstance(filled, SlotMissing):
        raise KeptAsIs(f"slot {filled.slot!r} of {template.id} cannot be filled: {filled.why}", template)
    return filled


def compose(
    template: Template, filled: FilledSlots, query: str, shots: Sequence[Shot] = (), labels: Sequence[str] = ()
) -> ComposedPrompt:
    """Render the template and check the result.

    Raises `KeptAsIs` if words of the query are missing. Raises `TemplateError` if the prompt is too long.
    """
    turns = template.render(filled.values, shots, labels)
    if not template.whole:
        _keep_if_lost(template, filled, query, template.render(filled.values, (), labels) if shots else turns)
    return ComposedPrompt(template, turns, filled.slots, tuple(shots), technique_of(template, filled.values))


def _keep_if_lost(template: Template, filled: FilledSlots, query: str, bare: Sequence[Turn]) -> None:
    """Raise `KeptAsIs` if the template loses words of the query. `bare` are the template's turns, rendered without
    examples.
    """
    spans = [(slot.start, slot.end) for slot in filled.slots if slot.start >= 0]
    gone = guards.lost(query, bare, spans)
    if gone:
        raise KeptAsIs(f"{template.id} would lose {_quoted(gone)}", template)


def keep_if_same(prompt: ComposedPrompt, query: str) -> None:
    """Raise `KeptAsIs` if the prompt already says everything that the template would add."""
    (*before, last) = prompt.turns
    if not before and last.text == query and prompt.procedure is None:
        raise KeptAsIs(f"{prompt.template.id} adds nothing to this prompt", prompt.template, prompt.calls)


def _quoted(items: Sequence[str]) -> str:
    shown = [f"{item[:60]!r}" for item in items[:5]]
    return ", ".join(shown) + (f" and {len(items) - 5} more" if len(items) > 5 else "")
