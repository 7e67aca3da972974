"""Reads the prompts of a `tensorzero.toml`: one for each variant of each function that has templates."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.prompt.given.bodies import jinja_body
from gateway.prompt.given.front_matter import mapping, read_text, string
from gateway.prompt.given.given_prompt import FileMessage, GivenPrompt, PromptFileBroken, settings_losses

ROLES = ("system", "user", "assistant")
OF_TEMPLATES = {"templates", "input_wrappers", *(f"{role}_template" for role in ROLES)}


def read_tensorzero(file: Path) -> list[GivenPrompt]:
    """Return the prompts of the file. Raises `PromptFileBroken`."""
    try:
        content = tomllib.loads(read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise PromptFileBroken(f"{file} is not TOML: {error}") from error
    prompts = []
    for function, table in mapping(content.get("functions", {}), f"[functions] of {file}").items():
        variants = mapping(table, f"[functions.{function}]").get("variants", {})
        for name, value in mapping(variants, f"[functions.{function}.variants]").items():
            place = f"[functions.{function}.variants.{name}]"
            prompt = _prompt(f"{function}.{name}", mapping(value, place), place, file.parent)
            prompts += [prompt] if prompt.messages else []
    if not prompts:
        raise PromptFileBroken(f"{file} has no variant with a template")
    return prompts


def _prompt(name: str, variant: dict[str, Any], place: str, folder: Path) -> GivenPrompt:
    messages, losses = [], []
    for role, path in _templates(variant, place):
        if role not in ROLES:
            losses.append(f"template {role!r}: left out, since only the application says where it stands")
            continue
        # a template at the end of a file has no line break at its end once it is rendered
        body, lost = jinja_body(read_text(folder / path))
        losses += lost
        if role == "assistant":
            losses.append("the assistant's template: not compared, it counts as conversation")
        else:
            messages.append(FileMessage(role, body))
    losses += settings_losses(variant.keys() - OF_TEMPLATES - {"type", "weight"}) if messages else ()
    messages.sort(key=lambda message: ROLES.index(message.role))
    return GivenPrompt(name, tuple(messages), tuple(losses))


def _templates(variant: dict[str, Any], place: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the file of each template. `system_template` and `templates.system` are two spellings."""
    for role in ROLES:
        if f"{role}_template" in variant:
            yield role, string(_path(variant[f"{role}_template"]), f"{place} {role}_template")
    for kind in ("templates", "input_wrappers"):
        for role, value in mapping(variant.get(kind, {}), f"{place} {kind}").items():
            yield role, string(_path(value), f"{place} {kind}.{role}.path")


def _path(value: Any) -> Any:
    return value.get("path") if isinstance(value, dict) else value
