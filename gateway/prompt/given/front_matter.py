"""Reads files with a head in YAML, and plain YAML and JSON files, as untyped values."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from gateway.prompt.given.given_prompt import PromptFileBroken

_HEAD = re.compile(r"\A(?:(?:#[^\n]*|[ \t]*)\n)*---[ \t]*\r?\n(.*?)\r?\n?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def read_text(file: Path) -> str:
    """Return the text of a file, with its line ends unchanged. Raises `PromptFileBroken`."""
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise PromptFileBroken(f"{file} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise PromptFileBroken(f"{file} cannot be read: {error.strerror}") from error


def split_head(text: str, file: Path) -> tuple[dict[str, Any], str]:
    """Return the head and the body of a file. A file without a head is all body. Raises `PromptFileBroken`."""
    match = _HEAD.match(text)
    if match is None:
        return {}, text
    return mapping(read_yaml(match[1], file), f"the head of {file}"), text[match.end() :]


def read_yaml(text: str, file: Path) -> Any:
    try:
        return yaml.safe_load(text) if text.strip() else {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PromptFileBroken(f"{file} is not YAML: {' '.join(str(error).split())}") from error


def read_json(text: str, file: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptFileBroken(f"{file} is not JSON: {error}") from error


def mapping(value: Any, what: str) -> dict[str, Any]:
    """Return a value that must be a mapping. Raises `PromptFileBroken`."""
    if not isinstance(value, dict):
        raise PromptFileBroken(f"{what} must be a mapping of names to values")
    return {str(name): one for name, one in value.items()}


def string(value: Any, what: str) -> str:
    """Return a value that must be a text. Raises `PromptFileBroken`."""
    if not isinstance(value, str):
        raise PromptFileBroken(f"{what} must be a text")
    return value
