"""The file of found prompts in the data folder. It contains texts of applications and of users, so only its owner may
read it.

The job `discover` and the command `foreword prompts` write the file; every worker of the gateway reads it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.disk.atomic_file import locked, write_whole
from gateway.errors import ForewordError
from gateway.near import did_you_mean
from gateway.prompt.found.found_prompt import FoundPrompt

log = logging.getLogger("foreword.found")

SCHEMA = 1


class FoundFileBroken(ForewordError):
    """The file of found prompts cannot be read."""


class NoSuchPrompt(ForewordError):
    """No found prompt has this name or id, or several found prompts may be meant."""


class FoundFile(Struct, frozen=True):
    """The content of the file."""

    prompts: tuple[FoundPrompt, ...] = ()
    waiting: tuple["WaitingPrompt", ...] = ()
    mined: "LastRun | None" = None
    schema: int = SCHEMA


class LastRun(Struct, frozen=True):
    """The last run of `discover`: when it ended, how many records it read, and how many of them had no text."""

    time_s: float
    records: int
    hashed: int


class WaitingPrompt(Struct, frozen=True):
    """A text that looks fixed, but was sent by too few users or on too few days."""

    key: str
    endpoint: str
    begins: str
    requests: int
    lacks: str


def found_path(data_folder: Path) -> Path:
    return data_folder / "found" / "prompts.json"


def read_found(path: Path) -> FoundFile:
    """Read the file. A missing file is empty. Raises `FoundFileBroken` or `OSError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return FoundFile()
    try:
        content = msgspec.json.decode(data, type=FoundFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "move it away and run: foreword jobs run discover"
        raise FoundFileBroken(f"{path} cannot be read: {error}; {remedy}") from error
    if content.schema > SCHEMA:
        raise FoundFileBroken(f"{path} has schema {content.schema}; this version knows {SCHEMA}. Upgrade Foreword.")
    return content


def change_found(path: Path, change: Callable[[FoundFile], FoundFile]) -> FoundFile:
    """Read the file, change its content, and write the whole file, under a lock."""
    with locked(path):
        path.parent.chmod(0o700)
        content = change(read_found(path))
        write_whole(path, msgspec.json.encode(content).decode())
    return content


def put(content: FoundFile, prompts: Iterable[FoundPrompt]) -> FoundFile:
    """Add prompts, or replace those with the same id. The result is sorted by id."""
    by_id = {prompt.id: prompt for prompt in (*content.prompts, *prompts)}
    return replace(content, prompts=tuple(by_id[id] for id in sorted(by_id)))


def one_of(prompts: Sequence[FoundPrompt], name: str) -> FoundPrompt:
    """Return the prompt with this name or id, or else the only prompt whose id begins with `name`. Raises
    `NoSuchPrompt`.
    """
    exact = [prompt for prompt in prompts if name in (prompt.id, prompt.name)]
    begins = exact or [prompt for prompt in prompts if name and prompt.id.startswith(name)]
    if len(begins) == 1:
        return begins[0]
    if begins:
        raise NoSuchPrompt(f"{name!r} may be any of {', '.join(prompt.id for prompt in begins)}; give the whole id")
    hint = did_you_mean(name, [prompt.name for prompt in prompts])
    raise NoSuchPrompt(f"there is no found prompt {name!r}. {hint} See: foreword prompts list")
