"""Reads the secret from which the marks around sources are computed. The gateway's first start makes the secret."""

import os
import secrets
import tempfile
from pathlib import Path

FILE = "mark_secret"


def mark_secret(configured: str, folder: Path, *, makes: bool = True) -> bytes:
    """Return the secret that `[server] secret` sets, or else the one in the data folder, or else a new one.

    A new secret is stored in the data folder, where only its owner can read it. If `makes` is False or the folder
    cannot be written, the new secret is valid for this process only.
    """
    if configured:
        return configured.encode()
    file = folder / FILE
    try:
        return file.read_bytes() if file.exists() or not makes else _made(file)
    except OSError:
        return secrets.token_bytes(32)


def _made(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(number, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32))
        # if several processes start together, the first makes the secret, and the others read it
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        Path(draft).unlink(missing_ok=True)
    return file.read_bytes()
