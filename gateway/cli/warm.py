"""Prepares the memory of the parent process, which its workers start with."""

import gc
import importlib

from msgspec.structs import replace

from gateway.server.app import create
from gateway.settings.tables import Settings


def warm(settings: Settings) -> None:
    """Import what a worker imports, and build an application once, which is thrown away.

    A worker then starts with half of the CPU time, and shares the memory of these modules. No thread is started and no
    file is opened, since a forked process has neither.
    """
    # several workers write their metrics to files as soon as they are built
    create(replace(settings, server=replace(settings.server, workers=1)))
    for module in _modules(settings):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


def _modules(settings: Settings) -> list[str]:
    """Return the modules that a worker imports after it is built."""
    modules = ["uvloop"]
    if settings.records.policy != "none":
        modules.append("gateway.records.database")
    if settings.state.kind == "redis":
        modules.append("redis.asyncio")
    if settings.embedder is not None:
        modules.append("numpy")
    return modules
