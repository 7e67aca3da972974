"""One attempt to replace the configuration: the check in a process of its own, and who hears the result."""

from collections.abc import Callable, Iterable
from socket import socket
from time import monotonic

from gateway.serving.check import ConfigCheck
from gateway.settings.reload import ReloadOutcome
from gateway.settings.server import Server
from gateway.settings.tables import Settings

FIXED = ("host", "port", "health_port")
"""The settings of `[server]` that a running server keeps, since its ports are already open."""

Hear = Callable[[ReloadOutcome], None]


class ConfigSwap:
    """An attempt. `text` is the new configuration, or None for the file. `settings` is set once workers start with the
    new configuration. `failure` stops the attempt after the check, unless the check finds mistakes, which say more.
    """

    def __init__(
        self,
        text: str | None,
        hear: Hear | None,
        check: Callable[[str | None], None],
        inherited: Iterable[socket],
        *,
        follows: bool = False,
    ) -> None:
        """`hear` gets the result. `check` raises `ConfigError`, in a new process that closes the `inherited`
        sockets. `follows` says that another gateway has this configuration already.
        """
        self.text = text
        self.follows = follows
        self.settings: Settings | None = None
        self.failure: ReloadOutcome | None = None
        self.check: ConfigCheck | None = ConfigCheck(lambda: check(text), inherited)
        self._hear = hear
        self._began = monotonic()

    def end_check(self) -> ConfigCheck | None:
        """Return the check if it was not ended before. The caller closes it."""
        check, self.check = self.check, None
        return check

    def taken(self, before: Server) -> None:
        assert self.settings is not None
        server = self.settings.server
        kept = tuple(f"server.{name}" for name in FIXED if getattr(server, name) != getattr(before, name))
        self._tell(ReloadOutcome("taken", "", server.workers, monotonic() - self._began, kept))

    def refused(self, outcome: ReloadOutcome) -> None:
        self._tell(outcome)

    def _tell(self, outcome: ReloadOutcome) -> None:
        hear, self._hear = self._hear, None
        if hear is not None:
            hear(outcome)
