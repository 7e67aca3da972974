"""Decodes JSON to typed values, and reports errors in OpenAI's wording."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, inspect

from gateway.documented import listed_fields, listed_values
from gateway.errors import BadRequest

Decoded = TypeVar("Decoded")
NULL = b"null"
_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode


def decoded(decoder: "msgspec.json.Decoder[Decoded]", raw: bytes | Raw, within: str = "") -> Decoded:
    """Decode JSON. Raises `BadRequest` with the name of the invalid field. `within` is the field that holds `raw`."""
    try:
        return parsed(decoder, raw)
    except msgspec.ValidationError as error:
        raise explained(error, within, of=decoder.type) from None


def parsed(decoder: "msgspec.json.Decoder[Decoded]", raw: bytes | Raw) -> Decoded:
    """Decode JSON. If a field's type does not allow null, null is treated as a missing field.

    Raises `msgspec.ValidationError` for a value of another type, and `BadRequest` for what is not JSON. The second
    happens inside a body that was decoded, too: what stays undecoded is not looked at.
    """
    try:
        return _parsed(decoder, raw)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error, bytes(raw)) from None


def _parsed(decoder: "msgspec.json.Decoder[Decoded]", raw: bytes | Raw) -> Decoded:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError:
        if NULL not in bytes(raw):
            raise
    return decoder.decode(_without_nulls(Raw(raw), inspect.type_info(decoder.type)))


def _without_nulls(raw: Raw, described: inspect.Type) -> Raw:
    """Remove members that are null, if the type of the member does not allow null."""
    if isinstance(described, inspect.UnionType):
        is_object = bytes(raw).lstrip()[:1] == b"{"
        kind = inspect.StructType if is_object else inspect.ListType
        return next((_without_nulls(raw, each) for each in described.types if isinstance(each, kind)), raw)
    if isinstance(described, inspect.ListType) and bytes(raw).lstrip()[:1] == b"[":
        return Raw(_encode([_without_nulls(each, described.item_type) for each in _list.decode(raw)]))
    if not isinstance(described, inspect.StructType) or bytes(raw).lstrip()[:1] != b"{":
        return raw
    fields = _object.decode(raw)
    for field in described.fields:
        value = fields.get(field.encode_name)
        if value is None:
            continue
        if bytes(value) != NULL:
            fields[field.encode_name] = _without_nulls(value, field.type)
        elif not _takes_null(field.type):
            del fields[field.encode_name]
    return Raw(_encode(fields))


def _takes_null(described: inspect.Type) -> bool:
    kinds = described.types if isinstance(described, inspect.UnionType) else (described,)
    return any(isinstance(kind, inspect.NoneType | inspect.AnyType | inspect.RawType) for kind in kinds)


def json_text(raw: Raw) -> str:
    """Return undecoded JSON as text. Raises `BadRequest` if it is not UTF-8: the decoder does not look at what it
    leaves undecoded.
    """
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise not_json(error, bytes(raw)) from None


def not_json(error: Exception, raw: bytes = b"") -> BadRequest:
    """Return the error for a body that is not JSON. `raw` is searched for the cause, which the error then explains."""
    why = f"{error}"
    if _HALF_PAIR.search(raw):
        why = (
            "it holds half of a surrogate pair, such as \\ud83d alone. Cutting a text inside an emoji causes this: "
            "cut between characters"
        )
    elif isinstance(error, UnicodeDecodeError):
        why = f"it is not UTF-8: {error}"
    return BadRequest(f"We could not parse the JSON body of your request: {why}", code="invalid_json")


_HALF_PAIR = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F])"
    rb"|\xed[\xa0-\xbf]"
)
"""Matches half of a surrogate pair, as an escape (after an even number of backslashes) or as bytes."""


_PATH = re.compile(r" - at (`key` in )?`\$\.?([^`]*)`$")
_MISSING = re.compile(r"missing required field `([^`]+)`")
_UNKNOWN = re.compile(r"contains unknown field `([^`]+)`")
_ENUM = re.compile(r"Invalid enum value (.*)", re.DOTALL)
_STEP = re.compile(r"\[[^]]*\]|[^.\[]+")


def explained(error: msgspec.ValidationError, within: str = "", of: Any = None) -> BadRequest:
    """Convert the decoder's error to a `BadRequest`, whose `param` is the invalid field.

    `within` is the field that contains the decoded part, and `of` is the type of that part.
    """
    text = str(error)
    path = _PATH.search(text)
    what = text[: path.start()] if path else text
    inner = path.group(2) if path else ""
    param = f"{within}.{inner}".strip(".").replace(".[", "[")
    if lacking := _MISSING.search(what):
        return missing(f"{param}.{lacking.group(1)}".lstrip("."))
    if unknown := _UNKNOWN.search(what):
        hint = _did_you_mean(unknown.group(1), list(listed_fields(of, _STEP.findall(inner))))
        param = f"{param}.{unknown.group(1)}".lstrip(".")
        return BadRequest(f"Unknown parameter: '{param}'.{hint}", param=param, code="unknown_parameter")
    if param == "messages" and "length" in what:
        return BadRequest("Invalid 'messages': the list is empty; give at least one message.", param=param)
    if path and path.group(1):
        what = f"a key: {what}"
    known = ", ".join(listed_values(of, _STEP.findall(inner)))
    if known and (wrong := _ENUM.match(what)):
        what = f"{wrong.group(1)}. Supported: {known}"
    return BadRequest(f"Invalid value for '{param or 'body'}': {what}.", param=param or None, code="invalid_value")


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a sentence with the known field whose name is nearest, or with all known fields."""
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(known)}." if known else ""


def whole(text: str) -> int | None:
    """Return the number in a string of up to nine digits, or None for any other string."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def missing(param: str) -> BadRequest:
    return BadRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
