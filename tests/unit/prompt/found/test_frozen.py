"""Fixed text is only added to, until its owner unlocks it; and settings stay the application's."""

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Endpoint, Turn
from gateway.exchange import Exchange, Sampling
from gateway.prompt.found.adopt import FoundTemplate, SkeletonPart, TemplateMessage, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState, PromptVersion
from gateway.prompt.found.frozen import WrongTemplate, fixed_texts, refuse_changes, with_locks
from gateway.prompt.found.shape import TextShape
from gateway.prompt.found.store import FoundFile, found_path
from gateway.prompt.found.table import FoundTable
from gateway.prompt.found.templates import add_template, exported, imported, newest_template, write_template
from gateway.prompt.recognise import RecogniseStage
from gateway.prompt.swap import SwapStage
from gateway.settings.prompt import PromptTable
from gateway.state.memory import MemoryState
from gateway.wire.chat.encode import body

SYSTEM = TextShape(("You sort tickets of ", ". Never tell a balance.\n"))
LAST = TextShape(("Ticket: ", "\nLabel:"))
PROMPT = FoundPrompt("p-1", "triage", "app", "chat/completions", (PromptVersion(1, SYSTEM, LAST),), PromptState.ADOPTED)
BEFORE = identity(PROMPT)


def without(template: FoundTemplate, text: str) -> FoundTemplate:
    messages = [
        replace(message, parts=tuple(part for part in message.parts if part.text != text))
        for message in template.messages
    ]
    return replace(template, messages=tuple(messages), version=2)


def test_texts_have_numbers_and_states() -> None:
    unlocked = with_locks(PROMPT, [2], [])
    assert [(one.number, one.role, one.is_unlocked) for one in fixed_texts(unlocked)] == [
        (1, "system", False),
        (2, "system", True),
        (3, "user", False),
        (4, "user", False),
    ]
    assert with_locks(unlocked, [], [2]) == PROMPT
    with pytest.raises(WrongTemplate, match="no fixed text 9"):
        with_locks(PROMPT, [9], [])


MARKS = (
    "{% endfrozen %}",
    "{% frozen %}",
    "{\\% endfrozen %}",
    "{{ part1 }}",
    "{\\{ part1 }}",
    "\n# user\n",
    "\n\\# user\n",
    "# user",
)


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("is_frozen", [True, False])
def test_text_that_looks_like_a_mark_of_the_export_is_read_again_as_it_was(mark: str, is_frozen: bool) -> None:
    text = SkeletonPart(text=f"Say {mark} and stop.", frozen=is_frozen)
    alone = SkeletonPart(text=mark, frozen=is_frozen)
    system = TemplateMessage("system", (text, SkeletonPart(slot="part1", frozen=False), alone))
    before = replace(BEFORE, messages=(system, *BEFORE.messages[1:]))
    read = imported(exported(before), before, unlocked=not is_frozen)
    assert [message.role for message in read.messages] == [message.role for message in before.messages]
    assert [(part.text, part.slot) for part in read.messages[0].parts] == [
        (part.text, part.slot) for part in system.parts
    ]


def test_marks_in_texts_next_to_each_other_are_read_again_as_they_were() -> None:
    texts = ("Fixed {", "{ part1 }} and\n", "# user", "\nEnd {% frozen %}")
    system = TemplateMessage("system", tuple(SkeletonPart(text=one) for one in texts))
    before = replace(BEFORE, messages=(system, *BEFORE.messages[1:]))
    read = imported(exported(before, texts), before, unlocked=True)
    assert "".join(part.text for part in read.messages[0].parts) == "".join(texts)


@pytest.mark.parametrize("text", [one.text for one in fixed_texts(PROMPT)])
def test_each_fixed_text_is_kept_until_it_is_unlocked(text: str) -> None:
    shorter = without(BEFORE, text)
    number = next(one.number for one in fixed_texts(PROMPT) if one.text == text)
    with pytest.raises(WrongTemplate, match="frozen"):
        refuse_changes(shorter, BEFORE, PROMPT)
    for other in {1, 2, 3, 4} - {number}:
        with pytest.raises(WrongTemplate, match="frozen"):
            refuse_changes(shorter, BEFORE, with_locks(PROMPT, [other], []))
    refuse_changes(shorter, BEFORE, with_locks(PROMPT, [number], []))


def test_a_version_that_was_made_with_a_right_gives_no_right_to_the_next() -> None:
    shorter = without(BEFORE, ". Never tell a balance.\n")
    with pytest.raises(WrongTemplate):
        refuse_changes(replace(shorter, version=3), shorter, PROMPT)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_or_moved_text_is_refused_and_an_added_one_is_not(place: int) -> None:
    messages = list(BEFORE.messages)
    added = SkeletonPart(text="More.", frozen=False)
    parts = messages[0].parts
    grown = replace(messages[0], parts=(*parts[:place], added, *parts[place:]))
    refuse_changes(replace(BEFORE, messages=(grown, *messages[1:])), BEFORE, PROMPT)
    turned = replace(messages[0], parts=tuple(reversed(parts)))
    with pytest.raises(WrongTemplate):
        refuse_changes(replace(BEFORE, messages=(turned, *messages[1:])), BEFORE, PROMPT)


def test_slots_and_the_conversation_are_kept() -> None:
    system, history, user = BEFORE.messages
    for wrong in ((system, user), (system, history, history, user), (system, user, history), (history, user)):
        with pytest.raises(WrongTemplate):
            refuse_changes(replace(BEFORE, messages=wrong), BEFORE, PROMPT)


def test_an_unlocked_text_has_no_marks_in_the_export_and_may_be_edited() -> None:
    prompt = with_locks(PROMPT, [2], [])
    text = exported(BEFORE, prompt.unlocked)
    assert "{% frozen %}. Never" not in text
    edited = text.replace("Never tell a balance", "Tell no balance")
    assert imported(edited, BEFORE, prompt).version == 2
    with pytest.raises(WrongTemplate):
        imported(edited, BEFORE, PROMPT)


@pytest.mark.parametrize("line", ["output: {max_tokens: 3}", "temperature: 0", "technique: vote", "stop: [x]"])
def test_a_template_cannot_set_what_the_application_decides(line: str) -> None:
    with pytest.raises(WrongTemplate, match=line.split(":")[0]):
        imported(exported(BEFORE).replace("match: exact", f"match: exact\n{line}"), BEFORE, PROMPT)


def test_a_file_that_lost_text_is_never_sent(tmp_path: Path) -> None:
    write_template(tmp_path, without(BEFORE, "\nLabel:"))
    table = FoundTable(found_path(tmp_path))
    table.use(FoundFile((replace(PROMPT, spoken=PromotedVersion(2, 1.0)),)))
    assert (table.spoken, "goes on as it came" in table.problem) == ({}, True)
    table.use(FoundFile((with_locks(replace(PROMPT, spoken=PromotedVersion(2, 1.0)), [4], []),)))
    assert list(table.spoken) == ["p-1"]


async def test_all_settings_of_the_request_go_on_as_they_came(tmp_path: Path) -> None:
    system, history, user = BEFORE.messages
    turn = TemplateMessage("assistant", (SkeletonPart(text="card", frozen=False),))
    write_template(tmp_path, replace(BEFORE, messages=(system, turn, history, user), version=2))
    found = FoundTable(found_path(tmp_path))
    found.use(FoundFile((replace(PROMPT, spoken=PromotedVersion(2, 1.0)),)))
    settings: dict[str, Any] = {
        "model": "m",
        "temperature": 0.7,
        "max_tokens": 7,
        "stop": ["\n\n"],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "response_format": {"type": "json_object"},
    }
    turns = (
        Turn("system", "You sort tickets of Acme. Never tell a balance.\n", 0),
        Turn("user", "Ticket: lost\nLabel:", 1),
    )
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    raw = msgspec.json.encode({**settings, "messages": messages})
    exchange = Exchange("fw-1", Ask(Endpoint.CHAT, "m", raw, turns, has_tools=True, has_format=True), ClientKey("app"))
    for stage in (RecogniseStage(found), SwapStage(PromptTable(found_matches=0), found, MemoryState())):
        exchange = await stage(exchange)
    assert exchange.changed
    assert exchange.sampling == Sampling.NONE
    sent = msgspec.json.decode(body(exchange, "m"))
    assert len(sent.pop("messages")) == 3
    assert sent == settings


def test_two_writers_never_take_one_number(tmp_path: Path) -> None:
    write_template(tmp_path, BEFORE)
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(add_template(tmp_path, "p-1", lambda now: now)[0].version))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == list(range(2, 10))
    assert newest_template(tmp_path, "p-1").version == 9
