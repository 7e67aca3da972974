"""Settings of bearer tokens that expire, and tokens from a command or a file."""

import subprocess
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from gateway.backends.remote_settings import HostSettings
from gateway.errors import Problem
from gateway.settings.numbers import Seconds

COMMAND_S = 30.0
FetchedToken = tuple[str, float]
"""A token, and the time at which it expires, in seconds since 1970."""


class TokenSettings(HostSettings, frozen=True, forbid_unknown_fields=True):
    """The settings of a server that accepts bearer tokens which expire."""

    token_command: tuple[str, ...] = ()
    """A command that prints a bearer token. It is run again after `token_s`."""
    token_file: str = ""
    """A file that holds a bearer token. It is read again after `token_s`."""
    token_s: Seconds = 600.0
    """How long a token from a command or a file is used. The token must be valid for longer."""


class NoToken(Exception):
    """A command or a file has no token."""


def own_token(settings: TokenSettings, root: Path) -> Callable[[], FetchedToken] | None:
    """Return the function that fetches a token from the command or the file, or None if neither is set."""
    if settings.token_command:
        return lambda: _checked(_printed(settings.token_command), settings)
    if settings.token_file:
        file = root / settings.token_file
        return lambda: _checked(file.read_text("utf-8"), settings)
    return None


def check_tokens(settings: TokenSettings, root: Path) -> Iterable[Problem]:
    if settings.token_command and settings.token_file:
        yield Problem("token_file", "cannot be used together with token_command", "Keep one of the two.")
    if settings.token_file and not (root / settings.token_file).is_file():
        yield Problem("token_file", f"there is no file {settings.token_file!r}")
    if settings.api_key and (settings.token_command or settings.token_file):
        yield Problem("api_key", "cannot be used together with a token", "Keep one of the two.")


def is_installed(module: str) -> bool:
    """Whether a module of an optional package can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _printed(command: tuple[str, ...]) -> str:
    # the command and its own messages may hold a secret, so they are neither shown nor logged
    try:
        ran = subprocess.run(command, capture_output=True, timeout=COMMAND_S, check=False, text=True)
    except subprocess.TimeoutExpired:
        raise NoToken(f"token_command did not end within {COMMAND_S:g} s") from None
    except OSError as error:
        raise NoToken(f"token_command cannot be run: {error.strerror}") from None
    if ran.returncode:
        raise NoToken(f"token_command ended with status {ran.returncode}")
    return ran.stdout


def _checked(text: str, settings: TokenSettings) -> FetchedToken:
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise NoToken("it is not one line of printable characters without blanks")
    return token, time.time() + settings.token_s
