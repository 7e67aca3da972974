"""The configuration that came over HTTP, as a file in the data folder: gateways that share the folder take it, too."""

import logging
from contextlib import suppress
from pathlib import Path

from gateway.disk.atomic_file import write_whole
from gateway.errors import ConfigError, Problem

log = logging.getLogger("foreword.supervisor")

FILE = "posted-config.toml"
Stamp = tuple[int, int, int]


class SharedConfig:
    """The file of one data folder. It is missing while the configuration file itself is in use."""

    def __init__(self, data_folder: Path, config: Path) -> None:
        """Forget the file if the configuration file `config` was changed after it: then the operator wants that one."""
        self._file = data_folder / FILE
        self._seen: Stamp | None = None
        with suppress(OSError):
            if config.stat().st_mtime_ns > self._file.stat().st_mtime_ns:
                self._file.unlink()

    def changed(self) -> bool:
        """Return whether the file was changed or deleted since the last call of `changed` or `put`, by another gateway
        or, at the first call, before this gateway started.
        """
        stamp, before = self._stamp(), self._seen
        self._seen = stamp
        return stamp != before

    def text(self) -> str | None:
        """Return the configuration, or None if the configuration file is in use. Raises `ConfigError`."""
        try:
            return self._file.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            remedy = "Delete it, and post the configuration again."
            raise ConfigError([Problem(str(self._file), f"cannot be read: {error}", remedy)]) from error

    def put(self, text: str | None) -> None:
        """Let the other gateways take this configuration or, if it is None, read their files again."""
        try:
            if text is None:
                self._file.unlink(missing_ok=True)
            elif not self._holds(text):
                write_whole(self._file, text)
        except OSError as error:
            log.error("other gateways do not get the configuration: %s", error)
        stamp = self._stamp()
        if self._holds(text):  # otherwise another gateway has written since, and its configuration is to be taken
            self._seen = stamp

    def _holds(self, text: str | None) -> bool:
        try:
            content = self._file.read_bytes()
        except OSError:
            return text is None
        return text is not None and content == text.encode()

    def _stamp(self) -> Stamp | None:
        try:
            stat = self._file.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
