"""Reads prompts of Langfuse, as its API returns them (`GET /api/public/v2/prompts/NAME`) and its page exports them."""

import re
from pathlib import Path
from typing import Any

from gateway.prompt.given.bodies import plain_body
from gateway.prompt.given.chat import read_messages
from gateway.prompt.given.front_matter import mapping, read_json, read_text, string
from gateway.prompt.given.given_prompt import (
    Body,
    FileMessage,
    GivenPrompt,
    PromptFileBroken,
    settings_losses,
)

_REFERENCE = re.compile(r"@@@langfusePrompt:.*?@@@")


def read_langfuse(file: Path) -> list[GivenPrompt]:
    """Return the versions in the file, the oldest first. Raises `PromptFileBroken`."""
    return prompts_of(read_json(read_text(file), file), str(file))


def prompts_of(value: Any, what: str) -> list[GivenPrompt]:
    """Return the versions in a decoded answer of the API. Raises `PromptFileBroken`."""
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    versions = [mapping(one, what) for one in (value if isinstance(value, list) else [value])]
    if not versions:
        raise PromptFileBroken(f"{what} holds no prompt")
    versions.sort(key=lambda one: (str(one.get("name", "")), _number(one)))
    return [_prompt(one, what) for one in versions]


def _number(version: dict[str, Any]) -> int:
    number = version.get("version", 0)
    return number if isinstance(number, int) else 0


def _prompt(version: dict[str, Any], what: str) -> GivenPrompt:
    if "prompt" not in version:
        raise PromptFileBroken(f"{what} has no `prompt`; give the answer of GET /api/public/v2/prompts/NAME")
    text = version["prompt"]
    if isinstance(text, str):
        body, losses = _body(text)
        messages = [FileMessage("user", body)]
    else:
        messages, losses = read_messages(text, f"`prompt` of {what}", _body)
    config = version.get("config")
    losses += settings_losses(config if isinstance(config, dict) else ())
    if version.get("labels"):
        losses.append("labels: left out; which version is sent is decided with `foreword prompts promote`")
    return GivenPrompt(string(version.get("name", "prompt"), f"`name` of {what}"), tuple(messages), tuple(losses))


def _body(text: str) -> tuple[Body, list[str]]:
    if _REFERENCE.search(text):
        raise PromptFileBroken("the prompt contains another one (@@@langfusePrompt…); give the resolved prompt")
    return plain_body(text)
