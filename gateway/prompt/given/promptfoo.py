"""Reads the prompts of a `promptfooconfig.yaml`, or of one of its prompt files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.prompt.given.bodies import jinja_body
from gateway.prompt.given.chat import read_messages
from gateway.prompt.given.front_matter import mapping, read_json, read_text, read_yaml, string
from gateway.prompt.given.given_prompt import FileMessage, GivenPrompt, PromptFileBroken, stripped

_DELIMITER = re.compile(r"^[ \t]*---[ \t]*$", re.MULTILINE)
PROGRAMS = (".js", ".ts", ".mjs", ".cjs", ".py", ".rb", ".go")


def read_promptfoo(file: Path) -> list[GivenPrompt]:
    """Return the prompts of the file. Raises `PromptFileBroken`."""
    if file.suffix in (".yaml", ".yml"):
        value = read_yaml(read_text(file), file)
        if isinstance(value, dict):
            prompts = value.get("prompts")
            entries = prompts if isinstance(prompts, list) else [prompts]
            return [prompt for number, one in enumerate(entries, 1) for prompt in _entry(one, number, file)]
    return list(_of_file(file, file.stem))


def _entry(entry: Any, number: int, file: Path) -> Iterator[GivenPrompt]:
    name = f"{file.parent.resolve().name}-{number}"
    if isinstance(entry, dict):
        given = mapping(entry, f"prompt {number} of {file}")
        entry = given.get("raw") or given.get("id")
        name = str(given.get("label") or name)
    text = string(entry, f"prompt {number} of {file}")
    if not text.startswith("file://"):
        yield _prompt(name, text, file)
        return
    path = text.removeprefix("file://")
    if any(mark in path for mark in "*?["):
        for one in sorted(file.parent.glob(path)):
            yield from _of_file(one, one.stem)
    else:
        yield from _of_file(file.parent / path, Path(path).stem)


def _of_file(file: Path, name: str) -> Iterator[GivenPrompt]:
    suffix = file.suffix.partition(":")[0]
    if suffix in PROGRAMS:
        raise PromptFileBroken(f"{file} is a program; only the prompts that it writes could be imported")
    text = read_text(file)
    if suffix == ".json":
        yield _chat(name, read_json(text, file), file)
    elif suffix in (".yaml", ".yml"):
        yield _chat(name, read_yaml(text, file), file)
    elif suffix in (".md", ".j2"):
        yield _prompt(name, text, file)
    else:
        texts = [one for one in _DELIMITER.split(text) if one.strip()]
        for number, one in enumerate(texts, 1):
            yield _prompt(name if len(texts) == 1 else f"{name}-{number}", one.strip(), file)


def _prompt(name: str, text: str, file: Path) -> GivenPrompt:
    plain = text.strip()
    if plain.startswith("[") and plain.endswith("]") and '"role"' in plain:
        return _chat(name, read_json(plain, file), file)
    body, losses = jinja_body(text)
    return GivenPrompt(name, (FileMessage("user", stripped(body) if text != plain else body),), tuple(losses))


def _chat(name: str, value: Any, file: Path) -> GivenPrompt:
    messages, losses = read_messages(value, str(file), jinja_body)
    return GivenPrompt(name, tuple(messages), tuple(losses))
