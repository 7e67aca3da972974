"""What was measured about an engine's model, kept in the data folder as `engines/<backend>.json`."""

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

log = logging.getLogger("foreword.profile")


class LengthProfile(Struct, frozen=True):
    """One length with one method: perplexity of what stands far behind, and how many pass-keys were found."""

    length: int
    method: str
    factor: float
    perplexity: float
    found: int
    keys: int


class LookUp(Struct, frozen=True):
    """How many of the keys that were asked for were found in a text of `length` tokens that is full of their like."""

    length: int
    found: int
    keys: int


class Profile(Struct, frozen=True):
    """The usable window, and for each length beyond the trained one the method that did best."""

    window_tokens: int = 0
    best: tuple[tuple[float, str], ...] = ()
    """(how many times the trained window, method), shortest first."""
    measured: tuple[LengthProfile, ...] = ()
    reach: tuple[tuple[str, int], ...] = ()
    """(method, how far it is usable)."""
    well_tokens: int = 0
    """The effective window: up to here one thing among many like it is found. 0: not measured."""
    look_ups: tuple[LookUp, ...] = ()

    def usable(self, method: str) -> int:
        """The window with a method, or with the best one where it is not named or was not measured. 0: unknown."""
        return dict(self.reach).get(method, self.window_tokens)


def place(data: Path, backend: str) -> Path:
    return data / "engines" / f"{backend}.json"


def read(data: Path, backend: str) -> Profile:
    """An empty one where nothing was measured, or the file cannot be read."""
    path = place(data, backend)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Profile)
    except FileNotFoundError:
        return Profile()
    except (OSError, msgspec.DecodeError) as error:
        log.warning("%s is not used: %s", path, error)
        return Profile()


def write(data: Path, backend: str, profile: Profile) -> Path:
    path = place(data, backend)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    half.write_bytes(msgspec.json.format(msgspec.json.encode(profile)))
    half.replace(path)
    return path
