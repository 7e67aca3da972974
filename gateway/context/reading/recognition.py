"""Recognises text in pictures with the program Tesseract, where the configuration asks for it.

The program runs as a child of the parse process, under the same limit of memory, on one core. A file has a time for
all its pictures; those that are left then are reported.
"""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from time import monotonic

from msgspec import Struct

PROGRAM = "tesseract"
LEAST_CERTAIN = 30.0
"""Words of which Tesseract is less certain, in percent, are mostly specks and drawings."""
WORD_LEVEL = "5"
PARENT_DEATH_SIGNAL = 1
"""The option of `prctl` that ends a child when its parent ends."""


class Recognition(Struct, frozen=True):
    """Which languages to recognise, by Tesseract's names, and the seconds for one file. Without a language, text in
    pictures is not recognised.
    """

    languages: tuple[str, ...] = ()
    time_s: float = 300.0


NO_RECOGNITION = Recognition()


class PictureWord(Struct, frozen=True):
    """A word in a picture, in pixels. `line` tells the words of one line from others; `top` and `bottom` are the
    line's.
    """

    text: str
    line: tuple[str, ...]
    left: float
    right: float
    top: float
    bottom: float


class NotRecognised(Exception):
    """The text of a picture could not be recognised. The message says why."""


class Recogniser:
    """Recognises the pictures of one file."""

    def __init__(self, settings: Recognition) -> None:
        self._settings = settings
        self._deadline = monotonic() + settings.time_s

    @property
    def is_on(self) -> bool:
        return bool(self._settings.languages)

    def words(self, picture: bytes) -> list[PictureWord]:
        """picture: a file that Tesseract reads, such as PNG, JPEG, TIFF or PGM. Raises `NotRecognised`."""
        left_s = self._deadline - monotonic()
        if left_s <= 0:
            raise NotRecognised("no time was left to recognise its text")
        languages = "+".join(self._settings.languages)
        command = [PROGRAM, "stdin", "stdout", "-l", languages, "--dpi", "300", "-c", "tessedit_create_tsv=1"]
        try:
            done = subprocess.run(
                command,
                input=picture,
                capture_output=True,
                timeout=left_s,
                check=False,
                env={**os.environ, "OMP_THREAD_LIMIT": "1"},
                preexec_fn=_limited(left_s),
            )
        except subprocess.TimeoutExpired:
            raise NotRecognised("no time was left to recognise its text") from None
        except OSError:
            raise NotRecognised(f"the program {PROGRAM} cannot be run, so its text is not recognised") from None
        if done.returncode:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise NotRecognised(f"its text could not be recognised: {lines[-1] if lines else done.returncode}")
        return list(_words(done.stdout.decode("utf-8", "replace")))


def missing_languages(settings: Recognition) -> list[str]:
    """Return the languages for which Tesseract has no data. Raises `NotRecognised` if there is no such program."""
    if shutil.which(PROGRAM) is None:
        raise NotRecognised(f"the program {PROGRAM} is not installed")
    done = subprocess.run([PROGRAM, "--list-langs"], capture_output=True, text=True, timeout=20, check=False)
    known = {line.strip() for line in (done.stdout + done.stderr).splitlines()}
    return [language for language in settings.languages if language not in known]


def _limited(time_s: float) -> Callable[[], None]:
    """Return a function for the child: it ends with its parent, and has so many seconds of CPU time at most."""
    library, seconds = ctypes.CDLL(None), int(time_s) + 1

    def limit() -> None:
        library.prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))

    return limit


def _words(table: str) -> Iterator[PictureWord]:
    """Read Tesseract's table: a row for each block, paragraph, line and word, with the box in pixels."""
    top, bottom = 0.0, 0.0
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) < 12:
            continue
        level, line, (left, upper, width, height) = cells[0], tuple(cells[1:5]), map(float, cells[6:10])
        if level != WORD_LEVEL:
            top, bottom = upper, upper + height
        elif cells[11].strip() and float(cells[10]) >= LEAST_CERTAIN:
            yield PictureWord(cells[11].strip(), line, left, left + width, top, bottom)
