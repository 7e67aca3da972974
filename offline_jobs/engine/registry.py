"""The kinds of jobs. A kind's module is imported when the kind is first used."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from gateway.errors import ConfigError
from gateway.near import did_you_mean
from gateway.settings.read import decode
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed

KINDS = {
    "discover": "offline_jobs.discover.job:JOB",
    "found-examples": "offline_jobs.discover.examples:JOB",
    "learn-contract": "offline_jobs.found.learn_contract:JOB",
    "improve-prompts": "offline_jobs.found.improve:JOB",
    "move-prompt": "offline_jobs.found.move:JOB",
    "harvest": "offline_jobs.harvest:JOB",
    "optimise": "offline_jobs.optimise:JOB",
    "watch": "offline_jobs.watch:JOB",
    "measure-gains": "offline_jobs.measure_gains:JOB",
    "place-chunks": "offline_jobs.place_chunks:JOB",
    "drift": "offline_jobs.drift:JOB",
    "train-classifier": "offline_jobs.train_classifier:JOB",
    "train-shots": "offline_jobs.train_shots:JOB",
    "train-refiner": "offline_jobs.train_refiner:JOB",
    "compress": "offline_jobs.compress.job:JOB",
}


class JobKind(Struct, frozen=True):
    """A kind of job: a one-line description, options, and `run`, which returns the report.

    `estimate` returns an upper bound of the cost without calling a model. `text` writes a report (JSON) for a terminal;
    without it, the JSON is printed.
    """

    about: str
    options: type[Struct]
    run: Callable[[JobRun, Any], Any]
    estimate: Callable[[Settings, Any], Spent]
    text: Callable[[str], str] | None = None


def kind_of(name: str) -> JobKind:
    """Return a kind of job. Raises `JobFailed` if the name is unknown or a package is not installed."""
    path = KINDS.get(name)
    if path is None:
        hint = did_you_mean(name, KINDS)
        raise JobFailed(f"there is no job {name!r}. {hint} See: foreword jobs kinds")
    module, _, attribute = path.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise JobFailed(
            f"{name} needs a package that is not installed: {error}. Run: pip install -e '.[jobs]'"
        ) from error
    assert isinstance(kind, JobKind)
    return kind


def read_options(name: str, kind: JobKind, words: Mapping[str, Any]) -> Any:
    """Decode the words of a job into its options. Raises `JobFailed` with the name of a wrong word, or the options'
    own `problem`."""
    options, problems = decode(words, kind.options, name)
    if problems:
        raise JobFailed(str(ConfigError(problems)))
    problem = getattr(options, "problem", "")  # what single words cannot show
    if problem:
        raise JobFailed(f"{name}: {problem}")
    return options
