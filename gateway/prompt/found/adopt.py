"""Adopts a found prompt: checks that its fixed text may become a template, and makes version 1 of the template."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.errors import ForewordError
from gateway.prompt.found.found_prompt import FoundPrompt, PromptVersion
from gateway.prompt.found.shape import TextShape
from gateway.prompt.found.view import part_names
from gateway.prompt.templates.fields import Shot
from gateway.records.scrub import scrubbed

SCHEMA = 1
EXACT = "exact"


class NotAdopted(ForewordError):
    """The prompt cannot be adopted. The message gives the reason and a remedy."""


class SkeletonPart(Struct, frozen=True):
    """A part of a message: a fixed text, or the name of a slot that the application fills."""

    text: str = ""
    slot: str = ""
    frozen: bool = True
    """Whether jobs must leave the text unchanged. Fixed text is frozen until its owner unlocks it."""


class TemplateMessage(Struct, frozen=True):
    """One message of a template. The role `history` stands for the conversation so far, which is kept byte for byte.
    The role `nearest` stands for the worked examples that are nearest to the request.
    """

    role: str
    parts: tuple[SkeletonPart, ...] = ()


class SlotOfPart(Struct, frozen=True):
    """A slot, and the guessed type of its values."""

    name: str
    type: str


class ExampleRow(Struct, frozen=True):
    """A recorded request of the prompt, by the values of its parts, and the right answer to it."""

    values: tuple[str, ...]
    answer: str


class NearestExamples(Struct, frozen=True):
    """Worked examples from the prompt's own traffic. Each request gets the `k` whose part is most like its own.

    With `balanced`, each answer gets an equal share of the `k`.
    """

    part: str
    k: int
    rows: tuple[ExampleRow, ...]
    balanced: bool = False


class FoundTemplate(Struct, frozen=True):
    """A template made of a found prompt. Version 1 is the identity: it renders exactly the text that the application
    sent.

    `match` says how a request is recognised. The only value is `exact`.
    """

    id: str
    prompt: str
    """The id of the found prompt."""
    key: str
    endpoint: str
    messages: tuple[TemplateMessage, ...]
    slots: tuple[SlotOfPart, ...]
    version: int = 1
    base: int = 1
    """The version of the found prompt from which the slots were made. Requests of other versions stay unchanged."""
    match: str = EXACT
    unlocked: bool = False
    """Whether a person has added this version with the right to change frozen text."""
    nearest: NearestExamples | None = None
    """The examples of which each request gets the nearest, at the place of the message `nearest`."""
    model: str = ""
    """The model that gets the requests of this version, or "" for the one that the application names."""
    schema: int = SCHEMA

    def render(self, values: Mapping[str, str], shots: Sequence[Shot] = ()) -> list[tuple[str, str]]:
        """Return the role and the text of each message. The history is left out."""
        head, tail = self.around_history(values, shots)
        return [*head, *tail]

    def around_history(
        self, values: Mapping[str, str], shots: Sequence[Shot] = ()
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return the role and the text of the messages before the history, and of those after it. `shots` are the
        nearest examples.
        """
        head: list[tuple[str, str]] = []
        tail: list[tuple[str, str]] = []
        part = head
        for message in self.messages:
            if message.role == HISTORY:
                part = tail
            elif message.role == NEAREST:
                part += [turn for shot in shots for turn in (("user", shot.input), ("assistant", shot.output))]
            else:
                part.append(
                    (message.role, "".join(values[one.slot] if one.slot else one.text for one in message.parts))
                )
        return head, tail

    def named(self, values: Sequence[str]) -> dict[str, str]:
        """Return the values of the parts by their names."""
        return {slot.name: value for slot, value in zip(self.slots, values, strict=True)}

    def own_message(self, values: Mapping[str, str]) -> str:
        """Return the last message as the application sends it: its fixed text and its parts, without additions."""
        parts = self.messages[-1].parts
        return "".join(values[part.slot] if part.slot else part.text for part in parts if part.slot or part.frozen)


HISTORY = "history"
NEAREST = "nearest"


def identity(prompt: FoundPrompt, version: PromptVersion | None = None) -> FoundTemplate:
    """Return the template that renders what the application sent. Raises `NotAdopted` if its fixed text contains a
    secret or personal data.
    """
    version = version or prompt.newest
    refuse_secrets(prompt, version)
    names = part_names(version)
    types = [part.type for part in version.parts] + ["text"] * len(names)
    messages = []
    at = 0
    for role, shape in (("system", version.system), ("user", version.last)):
        if shape is not None:
            messages.append(TemplateMessage(role, _parts(shape, names[at:])))
            at += shape.parts
    messages.insert(len(messages) - 1, TemplateMessage(HISTORY))
    slots = tuple(SlotOfPart(name, type) for name, type in zip(names, types, strict=False))
    return FoundTemplate(
        prompt.name, prompt.id, prompt.key, prompt.endpoint, tuple(messages), slots, base=version.number
    )


def refuse_secrets(prompt: FoundPrompt, version: PromptVersion) -> None:
    """Raise `NotAdopted` if a rule for secrets and personal data matches the fixed text."""
    taken: Counter[str] = Counter()
    for shape in version.shapes:
        for piece in shape.pieces:
            scrubbed(piece, taken)
    if taken:
        kinds = ", ".join(f"{name} ({count})" for name, count in sorted(taken.items()))
        raise NotAdopted(
            f"{prompt.name} cannot be a template: its fixed text holds {kinds}. Take that out of the application's "
            "prompt, and run `foreword jobs run discover` again once the new version is in use."
        )


def _parts(shape: TextShape, names: list[str]) -> tuple[SkeletonPart, ...]:
    parts = []
    for at, piece in enumerate(shape.pieces):
        if at:
            parts.append(SkeletonPart(slot=names[at - 1], frozen=False))
        if piece:
            parts.append(SkeletonPart(text=piece))
    return tuple(parts)
