"""A template of a found prompt: version 1 renders what the application sent, and no secret gets into it."""

from pathlib import Path

import pytest

from gateway.prompt.found.adopt import NotAdopted, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptVersion
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.found.templates import exported, newest_template, write_identity

SYSTEM = TextShape(("You help ", " of Acme.\n\n  Be brief. "))
LAST = TextShape(("Question:\n", "\n\nText:\n", "\n"))


def prompt(system: TextShape | None, last: TextShape = OPEN) -> FoundPrompt:
    return FoundPrompt("p-1", "helper", "app", "chat/completions", (PromptVersion(1, system, last),))


def test_version_1_renders_what_the_application_sent() -> None:
    system, last = "You help Anna of Acme.\n\n  Be brief. ", "Question:\n  why?\n\nText:\n{{ no slot }}\n"
    template = identity(prompt(SYSTEM, LAST))
    values = dict(
        zip((slot.name for slot in template.slots), (*SYSTEM.values(system), *LAST.values(last)), strict=True)  # type: ignore[misc]
    )
    assert template.render(values) == [("system", system), ("user", last)]
    assert template.version == 1


def test_the_conversation_stands_between_system_message_and_last_message() -> None:
    assert [message.role for message in identity(prompt(SYSTEM, LAST)).messages] == ["system", "history", "user"]
    assert [message.role for message in identity(prompt(None, LAST)).messages] == ["history", "user"]


def test_fixed_text_is_frozen_and_parts_are_not() -> None:
    template = identity(prompt(SYSTEM))
    assert [(bool(part.slot), part.frozen) for part in template.messages[0].parts] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    text = exported(template)
    assert "{% frozen %}You help {% endfrozen %}{{ part1 }}{% frozen %} of Acme." in text
    assert "match: exact" in text


@pytest.mark.parametrize(
    "fixed", ["Write to boss@acme.example.", "Use the key sk-abcdefghijklmnopqrstuvwx.", "Card 4111 1111 1111 1111"]
)
def test_fixed_text_with_a_secret_or_a_persons_data_is_refused(fixed: str) -> None:
    with pytest.raises(NotAdopted, match=r"its fixed text holds .* \(1\)"):
        identity(prompt(TextShape((f"You help. {fixed}",))))


def test_a_prompt_that_was_deployed_again_is_adopted_as_the_next_version(tmp_path: Path) -> None:
    one = prompt(SYSTEM)
    assert write_identity(tmp_path, one).name == "1.json"
    assert write_identity(tmp_path, one).name == "1.json"
    two = one.with_version(PromptVersion(2, TextShape(("You help all.",)), OPEN))
    assert write_identity(tmp_path, two).name == "2.json"
    assert (newest_template(tmp_path, "p-1").base, newest_template(tmp_path, "p-1").version) == (2, 2)
