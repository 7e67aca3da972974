"""Stores the measurements of an engine's model, in `engines/<backend>.json` of the data folder."""

import logging
from pathlib import Path

import msgspec
from msgspec import Struct, field

log = logging.getLogger("foreword.profile")


class LengthProfile(Struct, frozen=True):
    """The result for one length and method. `perplexity` is the perplexity of the text at the end of the length. The
    model found `right` of `keys` pass-keys.
    """

    length: int
    method: str
    factor: float
    perplexity: float
    right: int = field(name="found")
    keys: int


class LookUp(Struct, frozen=True):
    """The result for texts of `length` tokens with many similar keys. The model was asked for `keys` of them, and found
    `right`.
    """

    length: int
    right: int = field(name="found")
    keys: int


class Profile(Struct, frozen=True):
    """The usable window, and the best method for each length beyond the trained window."""

    window_tokens: int = 0
    best: tuple[tuple[float, str], ...] = ()
    """Pairs of a factor and a method, smallest factor first. A factor is a length as a multiple of the trained
    window.
    """
    measured: tuple[LengthProfile, ...] = ()
    reach: tuple[tuple[str, int], ...] = ()
    """Pairs of a method and the longest length in tokens at which the method is usable."""
    well_tokens: int = 0
    """The effective window: up to this length, the model finds one fact among many similar ones. 0 if it was not
    measured.
    """
    look_ups: tuple[LookUp, ...] = ()

    def usable(self, method: str) -> int:
        """Return the usable window in tokens with `method`. If `method` was not measured, return the window of the best
        method, or 0 if nothing was measured.
        """
        return dict(self.reach).get(method, self.window_tokens)


def place(data: Path, backend: str) -> Path:
    return data / "engines" / f"{backend}.json"


def read(data: Path, backend: str) -> Profile:
    """Read the profile. The profile is empty if nothing was measured or the file cannot be read."""
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
