"""Reads JSON into typed values, and puts the decoder's complaints into OpenAI's words."""

import re
from typing import Any

import msgspec

from gateway.errors import BadRequest


def decoded(decoder: Any, raw: bytes) -> Any:
    """The body by one of the decoders. Raises `BadRequest` with the field at fault."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise explained(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None


def not_json(error: Exception) -> BadRequest:
    return BadRequest(f"We could not parse the JSON body of your request: {error}", code="invalid_json")


_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")


def explained(error: msgspec.ValidationError, within: str = "") -> BadRequest:
    """The decoder's complaint with the field at fault as OpenAI's `param`. `within`: of which field it is a part."""
    text = str(error)
    path = _PATH.search(text)
    what = text[: path.start()] if path else text
    param = f"{within}.{path.group(1) if path else ''}".strip(".")
    lacking = _MISSING.search(what)
    if lacking:
        return missing(f"{param}.{lacking.group(1)}".lstrip("."))
    if param == "messages" and "length" in what:
        return BadRequest("Invalid 'messages': an empty list was given, at least one message is needed.", param=param)
    return BadRequest(f"Invalid value for '{param or 'body'}': {what}.", param=param or None, code="invalid_value")


def missing(param: str) -> BadRequest:
    return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
