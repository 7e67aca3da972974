"""The gateway's own certificate, with which its port speaks TLS."""

import ssl
from pathlib import Path

from gateway.errors import ConfigError, Problem
from gateway.settings.server import Server
from gateway.settings.tables import Settings

BOTH = "Both must be PEM and belong together, and the key must have no passphrase."


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return the context for connections of clients, or None if the port speaks plain HTTP. Reads files.

    Raises `ConfigError`.
    """
    server = settings.server
    if not server.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    cert, key = _files(settings)
    try:
        # without a function for the passphrase, OpenSSL would ask for it on the terminal
        context.load_cert_chain(cert, key, password=lambda: "")
    except OSError as error:
        reason = (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__
        where = f"{settings.file} [server] tls_cert"
        raise ConfigError([Problem(where, f"cannot be used with its key: {reason}", BOTH)]) from None
    return context


def tls_problems(settings: Settings) -> list[Problem]:
    """Return the mistakes in `tls_cert` and `tls_key`."""
    server: Server = settings.server
    if not server.tls_cert:
        remedy = "Name the certificate, too."
        return [Problem(f"{settings.file} [server] tls_key", "needs tls_cert", remedy)] if server.tls_key else []
    for name, file in zip(("tls_cert", "tls_key"), _files(settings), strict=True):
        if file is not None and not file.is_file():
            remedy = "The path is relative to the configuration file."
            return [Problem(f"{settings.file} [server] {name}", f"there is no file {file}", remedy)]
    try:
        tls_of(settings)
    except ConfigError as error:
        return list(error.problems)
    return []


def _files(settings: Settings) -> tuple[Path, Path | None]:
    server = settings.server
    return settings.root / server.tls_cert, settings.root / server.tls_key if server.tls_key else None
