"""The file of an answer contract, beside the template's versions. A person may edit it."""

import re
from collections.abc import Iterator
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import msgspec
import regex  # type: ignore[import-untyped]
from msgspec.structs import replace

from gateway.disk.atomic_file import write_whole
from gateway.errors import ForewordError
from gateway.prompt.found.contract import SCHEMA, AnswerContract, JsonSchema
from gateway.prompt.found.templates import template_file

REMEDY = "Correct it, or delete it and run: foreword jobs run learn-contract prompt={}"


class ContractBroken(ForewordError):
    """The file of a contract cannot be used. The message gives the place and a remedy."""


def contract_path(data_folder: Path, prompt: str) -> Path:
    """Return the file of the contract. `prompt` is the id of the found prompt."""
    return template_file(data_folder, prompt).with_name("contract.json")


def read_contract(data_folder: Path, prompt: str) -> AnswerContract | None:
    """Read the contract of a prompt, or return None if there is none. Raises `ContractBroken`."""
    file = contract_path(data_folder, prompt)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ContractBroken(f"{file} cannot be read: {error}") from error
    try:
        return checked(msgspec.json.decode(data, type=AnswerContract))
    except (msgspec.MsgspecError, UnicodeDecodeError, ContractBroken) as error:
        raise ContractBroken(f"{file}: {error}. {REMEDY.format(prompt)}") from error


def write_contract(data_folder: Path, prompt: str, contract: AnswerContract) -> Path:
    """Write a contract so that only its owner may read it. Raises `ContractBroken` if it cannot be used."""
    file = contract_path(data_folder, prompt)
    write_whole(file, msgspec.json.format(msgspec.json.encode(checked(contract)), indent=1).decode() + "\n")
    for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
        folder.chmod(0o700)
    return file


def replace_contract(data_folder: Path, prompt: str, contract: AnswerContract) -> None:
    """Write a contract that a person has made. A contract without claims removes the file. Raises `ContractBroken`."""
    if contract.is_empty:
        contract_path(data_folder, prompt).unlink(missing_ok=True)
    else:
        write_contract(data_folder, prompt, replace(contract, learned=""))


def checked(contract: AnswerContract) -> AnswerContract:
    """Return the contract if its schemas and its pattern are valid. Raises `ContractBroken`."""
    if contract.schema > SCHEMA:
        raise ContractBroken(f"`schema` is {contract.schema}; this version knows {SCHEMA}. Upgrade Foreword")
    _check_pattern("pattern", contract.pattern)
    for name, schema in (("json_schema", contract.json_schema), *contract.tools.items()):
        if schema:
            _check_schema(name, schema)
    if contract.longest < 0:
        raise ContractBroken("`longest` is negative")
    return contract


_REPEAT = re.compile(r"\{(\d*),?(\d*)\}")
MOST_REPEATS = 1_000_000
"""The largest product of the numbers in the `{m,n}` of one pattern."""


def _check_schema(name: str, schema: JsonSchema) -> None:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        words = dict(_words(schema))
    except RecursionError as error:
        raise ContractBroken(f"`{name}` is nested too deep") from error
    if "$ref" in words or "$dynamicRef" in words:
        raise ContractBroken(f"`{name}` has a $ref; write out the schema that it refers to")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ContractBroken(f"`{name}` is not a JSON schema: at {error.json_path}: {error.message}") from error
    for word, value in _words(schema):
        if word == "pattern" and isinstance(value, str):
            _check_pattern(f"{name}…pattern", value)
        elif word == "patternProperties":
            for pattern in value:
                _check_pattern(f"{name}…patternProperties", pattern)


def _check_pattern(name: str, pattern: str) -> None:
    # repeats inside repeats are unrolled: three of 500 take more memory than a machine has
    if prod(max(1, *(int(count[:9] or 1) for count in counts)) for counts in _REPEAT.findall(pattern)) > MOST_REPEATS:
        raise ContractBroken(f"`{name}` repeats too often; lower the numbers in {{}}")
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise ContractBroken(f"`{name}` is not a regular expression: {error}") from error


def _words(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every name in a schema with its value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner)


def digest(contract: AnswerContract) -> str:
    """Return the digest of what a contract claims."""
    claims = replace(contract, learned="", answers=0, keeps=0.0)
    return sha256(msgspec.json.encode(claims, order="deterministic")).hexdigest()[:12]


def is_edited(contract: AnswerContract) -> bool:
    """Return whether a person has written or edited the contract."""
    return contract.learned != digest(contract)
