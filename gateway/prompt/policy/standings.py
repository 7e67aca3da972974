"""Stores the state of each template's comparison with its controls: tried, settled, or back in shadow mode.

The job `watch` writes the file, and every worker reads the file. When the text of a template changes, the comparison
starts again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.disk.atomic_file import locked, write_whole
from gateway.prompt.policy.reread import RereadFile

log = logging.getLogger("foreword.controls")

SETTLED_CONTROLS = 0.05
"""The share of controls for a settled template."""


class StandingState(StrEnum):
    """The state of a template's comparison with its controls."""

    TRIED = "tried"  # there is no result yet, or an operator has brought the template back
    SETTLED = "settled"  # enough answers show that the template is no worse than its controls
    SHADOW = "shadow"  # the template is worse than its controls, so its rewrites are only recorded


class Standing(Struct, frozen=True):
    """The state of the comparison for one text of a template."""

    template: str
    text: str
    """The digest of the template's text (`Template.text_digest`)."""
    state: StandingState
    reason: str = ""
    by: str = ""
    """Who set the state: the id of a job, or `person`."""
    time_s: float = 0.0
    since_s: float = 0.0
    """The start of the comparison, in seconds since 1970. Earlier answers do not count."""
    version: int = 0
    """The version of the template. It is only shown to people."""


class _StandingsFile(Struct):
    standings: tuple[Standing, ...] = ()


StandingKey = tuple[str, str]
"""The id of a template and the digest of its text."""
Standings = Mapping[StandingKey, Standing]


def standings_path(data_folder: Path) -> Path:
    return data_folder / "standings.json"


def read_standings(path: Path) -> Standings:
    """Read the standings. The result is empty if the file does not exist. Raises `OSError` or `msgspec.DecodeError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    rows = msgspec.json.decode(data, type=_StandingsFile).standings
    return {(row.template, row.text): row for row in rows}


def newest_states(path: Path) -> dict[str, str]:
    """Return the newest state of each template, by template id: `tried`, `settled` or `shadow`.

    Raises the same errors as `read_standings`.
    """
    rows = sorted(read_standings(path).values(), key=lambda row: row.time_s)
    return {row.template: str(row.state) for row in rows}


def write_standing(path: Path, standing: Standing) -> None:
    """Add one standing to the file. An earlier standing of the same template and text is replaced."""
    with locked(path):
        rows = {**read_standings(path), (standing.template, standing.text): standing}
        data = msgspec.json.encode(_StandingsFile(tuple(rows[key] for key in sorted(rows))))
        write_whole(path, msgspec.json.format(data, indent=1).decode() + "\n")


class StandingTable:
    """The standings in a file. The file is read again after each change.

    While the file is broken, the last readable standings stay in use. `controls` is the share of controls for a
    template that is not settled.
    """

    def __init__(self, path: Path, controls: float = 0.3, clock: Callable[[], float] = time.monotonic) -> None:
        self._controls = controls
        self._file: RereadFile[Standings] = RereadFile(path, {}, _read_or_log, clock)

    def controls(self, id: str, text: str) -> float:
        """Return the share of conversations that are controls for this text of the template."""
        standing = self.of(id, text)
        settled = standing is not None and standing.state is StandingState.SETTLED
        return min(SETTLED_CONTROLS, self._controls) if settled else self._controls

    def of(self, id: str, text: str) -> Standing | None:
        return self._file.current().get((id, text))


def _read_or_log(path: Path) -> Standings | None:
    try:
        return read_standings(path)
    except (OSError, msgspec.MsgspecError) as error:
        log.error("%s cannot be read, its last content stays in use: %s", path, error)
        return None
