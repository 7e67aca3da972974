"""Loads a certificate with its key, of the gateway itself or for a server that asks for one."""

import ssl
from pathlib import Path

BELONG_TOGETHER = "Both must be PEM and belong together, and the key must have no passphrase."
"""The remedy for a certificate and a key that cannot be loaded."""


def load_certificate(context: ssl.SSLContext, cert: str | Path, key: str | Path | None) -> None:
    """Load a certificate and its chain. Without `key`, the key is in the same file. Raises `OSError`."""
    # without a function for the passphrase, OpenSSL would ask for it on the terminal
    context.load_cert_chain(cert, key, password=lambda: "")


def why_not_loaded(error: OSError) -> str:
    """Return the reason why a certificate or a key cannot be read."""
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__
