"""The result of an attempt to take a new configuration while the gateway serves."""

from typing import Literal

from msgspec import Struct

POSTED = "body of the request"
"""Stands for the file's name in the mistakes of a configuration that came over HTTP."""


class ReloadOutcome(Struct, frozen=True):
    """`taken`: the new configuration is in use. `mistakes`: it cannot be used. `failed`: it has no mistakes, but its
    workers did not start. `replaced`: a later change, or the end of the server, came first. `text` gives the reason.
    """

    result: Literal["taken", "mistakes", "failed", "replaced"]
    text: str = ""
    workers: int = 0
    took_s: float = 0.0
    needs_restart: tuple[str, ...] = ()
    """The settings whose new values take effect only after a restart."""
