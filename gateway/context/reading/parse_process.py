"""Reads documents in another process, with limits on time and memory.

If a parser hangs, crashes or uses too much memory, only that process ends. The file is reported as failed, and a new
process reads the next file. A process is started for the first file, and reads the later files too.
"""

import contextlib
import os
import resource
import selectors
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from msgspec import Struct

from gateway.context.reading.document import Document
from gateway.context.reading.recognition import NO_RECOGNITION, Recognition
from gateway.errors import CollectionError

MEMORY_MB = 1024
LONGEST_S = 120.0
SHORTEST_S = 30.0
S_PER_MB = 60.0
"""The time limit in seconds for each megabyte of a file. Slow formats need about ten seconds, and the machine may be
busy.
"""
LENGTH = 8
"""The size in bytes of the length that precedes each answer."""


class ParseJob(Struct, frozen=True):
    """A file to read, and the name that documents and messages give to the file."""

    path: str
    name: str
    recognition: Recognition = NO_RECOGNITION


class ParseResult(Struct, frozen=True):
    """A document, or the message of an error."""

    document: Document | None = None
    error: str = ""


class ParseProcess:
    """Satisfies `ingest.Read`. Several threads may share one `ParseProcess`. Files are read one after another."""

    def __init__(
        self,
        *,
        time_s: float | None = None,
        memory_mb: int = MEMORY_MB,
        recognition: Recognition = NO_RECOGNITION,
    ) -> None:
        """`time_s` is the time limit for each file. If it is None, `time_for` computes the limit from the file's size.
        If text in pictures is recognised, the time for this comes on top.
        """
        self._recognition = recognition
        self._time_s = time_s
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._one_at_a_time = threading.Lock()

    def __call__(self, path: Path, name: str = "") -> Document:
        """Read a file as a document. Raises `CollectionError`."""
        job = ParseJob(str(path), name or path.name, self._recognition)
        with self._one_at_a_time:
            result = self._ask(job)
        if result.document is None:
            raise CollectionError(result.error)
        return result.document

    def abort(self) -> None:
        """End the process at once. If a file is being read, that call raises `CollectionError`."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        with self._one_at_a_time:
            self._end()

    def _ask(self, job: ParseJob) -> ParseResult:
        process = self._started()
        time_s = time_for(job.path) if self._time_s is None else self._time_s
        time_s += job.recognition.time_s if job.recognition.languages else 0.0
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            return msgspec.msgpack.decode(_answer(process, time_s), type=ParseResult)
        except TimeoutError:
            self._end()
            raise CollectionError(f"{job.name}: reading it took longer than {time_s:.0f} s") from None
        except (EOFError, OSError, msgspec.DecodeError):
            self._end()
            raise CollectionError(f"{job.name}: its reader crashed, or needed more than {self._memory_mb} MB") from None
        except BaseException:
            # the answer was not read, and must not be taken for the answer to the next file
            self._end()
            raise

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._end()
            command = [sys.executable, "-m", __name__, str(self._memory_mb)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def time_for(path: str) -> float:
    """Return the time limit for a file in seconds. A small file has a short limit. If its parser hangs, other files
    then wait only for a short time.
    """
    try:
        megabytes = Path(path).stat().st_size / 2**20
    except OSError:
        megabytes = 0.0
    return min(LONGEST_S, SHORTEST_S + megabytes * S_PER_MB)


def _environment() -> dict[str, str]:
    """Return the environment variables for the process. They include the paths of Python's modules, but no secrets."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "TESSDATA_PREFIX")
    package = str(Path(__file__).parents[3])
    return {name: os.environ[name] for name in names if name in os.environ} | {"PYTHONPATH": package}


def _answer(process: "subprocess.Popen[bytes]", time_s: float) -> bytes:
    deadline = monotonic() + time_s
    length = int.from_bytes(_exactly(process, LENGTH, deadline))
    return _exactly(process, length, deadline)


def _exactly(process: "subprocess.Popen[bytes]", count: int, deadline: float) -> bytes:
    """Return the next `count` bytes from the process. Raises `TimeoutError` or `EOFError`."""
    assert process.stdout is not None
    answer = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while len(answer) < count:
            if not selector.select(max(0.0, deadline - monotonic())):
                raise TimeoutError
            piece = os.read(process.stdout.fileno(), min(count - len(answer), 1 << 20))
            if not piece:
                raise EOFError
            answer += piece
    return bytes(answer)


def _limit(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20, memory_mb * 2**20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # the process only reads, so it may write no files
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _read(job: ParseJob) -> ParseResult:
    from gateway.context.reading.readers import read

    try:
        return ParseResult(read(Path(job.path), job.name, job.recognition))
    except CollectionError as error:
        return ParseResult(error=str(error))
    except MemoryError:
        return ParseResult(error=f"{job.name}: needs more memory than a reader may use")


def main() -> None:
    """Run the process. Each line of the input is a job as JSON. Each answer is a length, followed by this number of
    bytes.
    """
    _limit(int(sys.argv[1]))
    answers: Any = os.fdopen(os.dup(1), "wb")
    # a parser's own output must not mix with the answers
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        answer = msgspec.msgpack.encode(_read(msgspec.json.decode(line, type=ParseJob)))
        answers.write(len(answer).to_bytes(LENGTH) + answer)
        answers.flush()


if __name__ == "__main__":
    main()
