"""Runs the compute thread, with one forward pass per step for all running requests.

A run is a generator that yields segments to read and receives their logits. Runs join and leave the batch between two
steps.
"""

import logging
import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future

import torch
from torch import Tensor

from gateway.backends.local.torch_engine.model import TokenSegment, TorchNetwork

log = logging.getLogger("foreword.torch")

Run = Generator[list[TokenSegment], list[Tensor], None]


class Stepper:
    """Runs generators on a thread of its own until they end. Any thread may call `run`."""

    def __init__(self, model: TorchNetwork, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._new: queue.SimpleQueue[_Running | None] = queue.SimpleQueue()
        self._running: list[_Running] = []
        self._thread = threading.Thread(target=self._work, name="torch-engine", daemon=True)
        self._thread.start()

    def run(self, begin: Callable[[], Run], gone: Callable[[], bool]) -> None:
        """Block until the run ends, or until `gone` returns True before a step. Raises the run's error."""
        over: Future[None] = Future()
        self._new.put(_Running(begin, gone, over))
        over.result()

    def close(self) -> None:
        """End the thread. No run may be active."""
        self._new.put(None)
        self._thread.join()

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        while self._admit():
            if self._running:
                self._step()

    def _admit(self) -> bool:
        """Admit new runs, and wait for one if none is running. Return False after `close`."""
        while not (self._new.empty() and self._running):
            run = self._new.get()
            if run is None:
                return False
            if run.begin():
                self._running.append(run)
        return True

    def _step(self) -> None:
        running = self._running = [run for run in self._running if not run.left()]
        if not running:
            return
        try:
            logits = self._model.forward([segment for run in running for segment in run.segments])
        except Exception as error:
            log.exception("a step failed")
            for run in running:
                run.fail(error)
            self._running = []
            return
        still, at = [], 0
        for run in running:
            count = len(run.segments)
            if run.go_on(logits[at : at + count]):
                still.append(run)
            at += count
        self._running = still


class _Running:
    def __init__(self, begin: Callable[[], Run], gone: Callable[[], bool], over: "Future[None]") -> None:
        self._make, self._gone, self._over = begin, gone, over
        self._run: Run | None = None
        self.segments: list[TokenSegment] = []

    def begin(self) -> bool:
        return self._advance(None)

    def go_on(self, logits: list[Tensor]) -> bool:
        return self._advance(logits)

    def left(self) -> bool:
        """End the run if the caller is gone, and return whether the caller is gone."""
        if not self._gone():
            return False
        self._run = None
        self.segments = []
        self._over.set_result(None)
        return True

    def fail(self, error: Exception) -> None:
        self._over.set_exception(error)

    @torch.inference_mode()
    def _advance(self, logits: list[Tensor] | None) -> bool:
        """Advance the run by a step. Return False if the run has ended, with or without an error."""
        try:
            if self._run is None or logits is None:
                self._run = self._make()
                self.segments = next(self._run)
            else:
                self.segments = self._run.send(logits)
        except StopIteration:
            self._over.set_result(None)
            return False
        except Exception as error:
            self._over.set_exception(error)
            return False
        return True
