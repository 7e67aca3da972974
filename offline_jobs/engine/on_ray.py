"""Runs a job's tasks on the Ray cluster at `RAY_ADDRESS`, or on a local cluster if the address is not set."""

from collections.abc import Iterable, Iterator
from typing import Any

import ray

from offline_jobs.engine.executor import Task, ahead

RETRIES = 5


class Cluster:
    """Runs tasks on a Ray cluster. If a node dies, its task runs again on another node."""

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._mine = not ray.is_initialized()
        if self._mine:
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)

    def map(self, task: Task, inputs: Iterable[Any]) -> Iterator[Any]:
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(task)
        most = max(2 * self._processes, 2 * cores())
        yield from ahead(remote.remote, ray.get, inputs, most)

    def close(self) -> None:
        if self._mine:
            ray.shutdown()


def cores() -> int:
    """Return the number of CPU cores in the cluster."""
    resources: dict[str, float] = ray.cluster_resources()
    return int(resources.get("CPU", 1))
