"""Keeps a copy of a model in Q8_0 in the data folder: llama.cpp reads prompts twice as fast from it as from Q4_1.

The copy is written once, at the first start. Its name has the digest of the source, so that a changed source gets a new
copy.
"""

import hashlib
import logging
import subprocess
import sys
from pathlib import Path

log = logging.getLogger("foreword.llamacpp")

PATIENCE_S = 1200.0
"""How long writing may take, with the wait for another process that writes the same file."""
SUFFIX = ".Q8_0.gguf"


class CannotStore(Exception):
    """The copy cannot be written. The message has the reason."""


def stored_path(source: Path, data: Path) -> Path:
    """Return where the copy of `source` belongs. This reads the whole source, which takes 0.1 s for 100 MB."""
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    model = source.stem.partition(".Q")[0]
    return data / "engines" / "stored" / f"{model}-{digest[:12]}{SUFFIX}"


def stored_copy(source: Path, data: Path) -> Path:
    """Return the copy of `source`, which is written first if it does not exist. Raises `CannotStore`."""
    from gateway.backends.local.gguf.q8_0 import is_whole  # brings numpy

    try:
        target = stored_path(source, data)
        if not is_whole(target):
            _write(source, target)
    except OSError as error:
        raise CannotStore(str(error)) from error
    return target


def _write(source: Path, target: Path) -> None:
    log.info("writing a copy in Q8_0", extra={"model": source.name, "file": str(target)})
    # -P: a folder `gateway` in the working directory is not imported
    command = [sys.executable, "-P", "-m", "gateway.backends.local.gguf.q8_0", str(source), str(target)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise CannotStore(f"{target} is not written after {PATIENCE_S:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"the process ended with code {done.returncode}"]
        raise CannotStore(f"{target} cannot be written: {lines[-1]}")
