"""The gateway's own certificate, with which its port speaks TLS."""

import ssl
from pathlib import Path

from gateway.errors import ConfigError, Problem
from gateway.settings.certificate import BELONG_TOGETHER, load_certificate, why_not_loaded
from gateway.settings.tables import Settings


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return the context for connections of clients, or None if the port speaks plain HTTP. Reads files.

    Raises `ConfigError`.
    """
    if not settings.server.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        load_certificate(context, *_files(settings))
    except OSError as error:
        where, what = f"{settings.file} [server] tls_cert", f"cannot be used with its key: {why_not_loaded(error)}"
        raise ConfigError([Problem(where, what, BELONG_TOGETHER)]) from None
    return context


def tls_problems(settings: Settings) -> list[Problem]:
    """Return the mistakes in `tls_cert` and `tls_key`."""
    server = settings.server
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
