"""Reads JSON into typed values, and puts the decoder's complaints into OpenAI's words."""

import re
from typing import Any

import msgspec

from gateway.documented import listed_values
from gateway.errors import BadRequest


def decoded(decoder: Any, raw: bytes) -> Any:
    """The body by one of the decoders. Raises `BadRequest` with the field at fault."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise explained(error, of=decoder.type) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> BadRequest:
    return BadRequest(f"We could not parse the JSON body of your request: {error}", code="invalid_json")


_PATH = re.compile(r" - at (`key` in )?`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"contains unknown field `([^`]+)`")
_ENUM = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_STEP = re.compile(r"\[[^]]*\]|[^.\[]+")


def explained(error: msgspec.ValidationError, within: str = "", of: Any = None) -> BadRequest:
    """The decoder's complaint with the field at fault as OpenAI's `param`.

    `within`: of which field what was decoded is a part; `of`: the type as which it was decoded.
    """
    text = str(error)
    path = _PATH.search(text)
    what = text[: path.start()] if path else text
    inner = path.group(2) if path else ""
    param = f"{within}.{inner}".strip(".")
    if lacking := _MISSING.search(what):
        return missing(f"{param}.{lacking.group(1)}".lstrip("."))
    if unknown := _UNKNOWN.search(what):
        param = f"{param}.{unknown.group(1)}".lstrip(".")
        return BadRequest(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")
    if param == "messages" and "length" in what:
        return BadRequest("Invalid 'messages': an empty list was given, at least one message is needed.", param=param)
    if path and path.group(1):
        what = f"a key: {what}"
    known = ", ".join(listed_values(of, _STEP.findall(inner)))
    if known and (wrong := _ENUM.match(what)):
        what = f"{wrong.group(1)}. Supported: {known}"
    return BadRequest(f"Invalid value for '{param or 'body'}': {what}.", param=param or None, code="invalid_value")


def whole(text: str) -> int | None:
    """The number that a text of up to nine digits says; None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def missing(param: str) -> BadRequest:
    return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
