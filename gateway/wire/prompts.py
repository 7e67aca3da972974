"""Reads OpenAI's `prompt` object, which holds the id of a template and the values of its slots."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.ask import NamedTemplate
from gateway.errors import BadRequest
from gateway.wire.json_fields import decoded, parsed, whole

STORED_ELSEWHERE = "pmpt_"
"""The prefix of the ids of prompts that OpenAI stores. The backend that stores such a prompt fills in the values
itself."""


class _PromptObject(Struct):
    id: str
    version: str | int | None = None
    variables: dict[str, Raw] | None = None


class _VariablePart(Struct):
    type: str = ""
    text: str | UnsetType = UNSET


_prompt = msgspec.json.Decoder(_PromptObject)
_variable = msgspec.json.Decoder(str | int | float | _VariablePart)


def prompt_of(raw: Raw | UnsetType) -> tuple[NamedTemplate | None, bool]:
    """Return the template that the field `prompt` names, and whether the backend fills in the values. The template is
    None if the field is missing or names a prompt that OpenAI stores.

    If the field is not an object, it is ignored: the field then belongs to another API, and the backend validates it.
    """
    if raw is UNSET or not bytes(raw).startswith(b"{"):
        return None, False
    prompt = decoded(_prompt, raw, "prompt")
    if prompt.id.startswith(STORED_ELSEWHERE):
        return None, True
    variables = {name: _text(name, value) for name, value in (prompt.variables or {}).items()}
    version, fault = _version(prompt.version)
    return NamedTemplate(prompt.id, version, variables, fault=fault), False


def _version(version: str | int | None) -> tuple[int, str]:
    """Return the version number and an error message. The number is 0 if the client gave none. The message is "" unless
    the version is invalid."""
    text = str(version or "")
    number = whole(text)
    if not text or number:
        return number or 0, ""
    fault = (
        f"Invalid value for 'prompt.version': versions are whole numbers from 1, not {text[:40]!r}. "
        "Leave it out for the version in use."
    )
    return 0, fault


def _text(name: str, value: Raw) -> str:
    """Return the text of a variable. Clients send a string, a number, or a part of type `input_text`."""
    param = f"prompt.variables.{name}"
    try:
        content: Any = parsed(_variable, value)
    except msgspec.ValidationError:
        content = None
    if isinstance(content, _VariablePart):
        if content.type in ("input_image", "input_file", "input_audio"):
            raise BadRequest(
                f"Invalid value for '{param}': a template's slots hold text, not {content.type}. "
                "Send it as part of a message beside the prompt.",
                param=param,
                code="invalid_value",
            )
        content = content.text if content.type == "input_text" and isinstance(content.text, str) else None
    if content is None:
        raise BadRequest(
            f"Invalid value for '{param}': give a text, or an object of type 'input_text'.",
            param=param,
            code="invalid_value",
        )
    return content if isinstance(content, str) else bytes(value).decode()
