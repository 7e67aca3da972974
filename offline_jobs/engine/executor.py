"""Runs a job's tasks in processes of this machine or on a Ray cluster.

A task is a module-level function that takes and returns plain values. If a process or a node dies, its task runs again,
so a task must write the same files every time.
"""

import importlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any, Protocol

from offline_jobs.errors import JobFailed

Task = Callable[[Any], Any]


class Executor(Protocol):
    """Runs a task on many inputs. Results come in the order of the inputs. Only a few results are in memory at a
    time."""

    def map(self, task: Task, inputs: Iterable[Any]) -> Iterator[Any]: ...

    def close(self) -> None: ...


class Local:
    """Runs tasks in processes of this machine. With one process, tasks run in the calling process."""

    def __init__(self, processes: int = 1) -> None:
        self._processes = processes
        # processes are spawned: a fork would copy the locks of loaded libraries
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), _end_with_parent) if processes > 1 else None

    def map(self, task: Task, inputs: Iterable[Any]) -> Iterator[Any]:
        if self._pool is None:
            yield from map(task, inputs)
            return
        pool = self._pool
        yield from ahead(lambda value: pool.submit(task, value), Future.result, inputs, 2 * self._processes)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this process when its parent ends. Otherwise a killed job would leave processes that wait for work."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def ahead(start: Callable[[Any], Any], wait: Callable[[Any], Any], inputs: Iterable[Any], most: int) -> Iterator[Any]:
    """Yield the results in the order of the inputs. Up to `most` tasks are started in advance."""
    under_way: deque[Any] = deque()
    for value in inputs:
        under_way.append(start(value))
        if len(under_way) >= most:
            yield wait(under_way.popleft())
    while under_way:
        yield wait(under_way.popleft())


def open_executor(kind: str, processes: int) -> Executor:
    """Open the executor `local` or `ray`. Raises `JobFailed` if Ray is not installed."""
    if kind == "local":
        return Local(processes)
    try:
        module = importlib.import_module("offline_jobs.engine.on_ray")
    except ImportError as error:
        raise JobFailed(f"Ray is not installed: {error}. Run: pip install -e '.[ray]'") from error
    executor: Executor = module.Cluster(processes)
    return executor
