"""One attempt to replace the configuration: the check in a process of its own, and who hears the result."""

from collections.abc import Callable, Container, Iterable, Sequence
from socket import socket
from time import monotonic

from gateway.serving.check import ConfigCheck
from gateway.serving.child import Child
from gateway.serving.worker import LEAVE_S
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
        self._leaving: Sequence[Child] = ()
        self._taken: ReloadOutcome | None = None
        self._tell_by = 0.0

    def end_check(self) -> ConfigCheck | None:
        """Return the check if it was not ended before. The caller closes it."""
        check, self.check = self.check, None
        return check

    def taken(self, before: Server, leaving: Sequence[Child]) -> None:
        """Note that workers with the new configuration accept connections, and the `leaving` ones soon do not."""
        assert self.settings is not None
        server = self.settings.server
        kept = tuple(f"server.{name}" for name in FIXED if getattr(server, name) != getattr(before, name))
        self._leaving = leaving
        self._taken = ReloadOutcome("taken", "", server.workers, monotonic() - self._began, kept)
        self._tell_by = monotonic() + LEAVE_S

    def tell_taken(self, running: Container[Child]) -> bool:
        """Tell that the configuration is in use, once the leaving workers accept no more connections or have ended.

        Told earlier, the next request of the one who asked could still meet the old configuration. Returns whether it
        was told.
        """
        assert self._taken is not None
        if monotonic() < self._tell_by and any(not child.closed for child in self._leaving if child in running):
            return False
        self._tell(self._taken)
        return True

    def refused(self, outcome: ReloadOutcome) -> None:
        self._tell(outcome)

    def _tell(self, outcome: ReloadOutcome) -> None:
        hear, self._hear = self._hear, None
        if hear is not None:
            hear(outcome)
