"""A field that neither API defines passes to the backend of a translation, and a note names it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.wire.chat.request import read_request
from gateway.wire.converse.of_chat import converse_body
from gateway.wire.gemini.of_chat import generate_body
from gateway.wire.messages.as_chat import chat_body
from gateway.wire.messages.losses import Losses
from gateway.wire.messages.of_chat import messages_body

ASKED = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
CLAUDE = "us.anthropic.claude-4"
Translation = Callable[[bytes, Losses], bytes]
TRANSLATIONS: dict[str, tuple[Translation, dict[str, Any]]] = {
    "messages to chat": (lambda body, losses: chat_body(body, losses).body, {"top_k": 4, "seed": 7}),
    "chat to messages": (lambda body, losses: messages_body(body, 10, losses), {"top_k": 4, "thinking": {}}),
    "chat to gemini": (
        lambda body, losses: generate_body(read_request(body), "gemini-2.5-flash", losses),
        {"top_k": 4, "safetySettings": []},
    ),
    "chat to bedrock": (
        lambda body, losses: converse_body(read_request(body), CLAUDE, losses),
        {"top_k": 4, "guardrailConfig": {}},
    ),
}


def told(translate: Translation, **fields: Any) -> tuple[Any, str]:
    """Return the translated request, and the reason of its note, or "" without one."""
    losses = Losses()
    body = json.loads(translate(json.dumps({**ASKED, **fields}).encode(), losses))
    note = losses.note()
    return {**body, **body.get("additionalModelRequestFields", {})}, "" if note is None else note.reason


@pytest.mark.parametrize(("translate", "_known"), TRANSLATIONS.values(), ids=TRANSLATIONS)
def test_a_misspelt_field_passes_with_a_note_of_the_right_one(translate: Translation, _known: Any) -> None:
    body, reason = told(translate, temperatur=0.5)
    assert body["temperatur"] == 0.5
    assert reason == "temperatur (no known field, passed on as it is; did you mean temperature?)"


@pytest.mark.parametrize(("translate", "_known"), TRANSLATIONS.values(), ids=TRANSLATIONS)
def test_an_unknown_field_that_is_near_to_none_is_noted_too(translate: Translation, _known: Any) -> None:
    assert told(translate, zzz=1)[1] == "zzz (no known field, passed on as it is)"


@pytest.mark.parametrize(("translate", "known"), TRANSLATIONS.values(), ids=TRANSLATIONS)
def test_fields_that_one_of_the_apis_defines_are_not_noted(translate: Translation, known: Any) -> None:
    assert told(translate, **known)[1] == ""


def test_many_and_long_names_make_a_short_note() -> None:
    translate, _ = TRANSLATIONS["chat to gemini"]
    _, reason = told(translate, **{f"{'q' * 1000}{number}": 1 for number in range(100)})
    assert len(reason) < 1000
    assert reason.endswith("92 more unknown fields (passed on as they are)")
