"""`foreword check`: reports all mistakes in a configuration."""

import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from gateway.cli.config import config_option, report
from gateway.cli.main import GROUP
from gateway.errors import ConfigError, Problem
from gateway.settings.read import load, read_file, read_posted
from gateway.settings.tables import Settings


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the mistakes as JSON.")
def check(config: Path, as_json: bool) -> None:
    """Check the configuration and report all its mistakes at once.

    Exits with 0 if there are none, else with 2. Broken template files are listed too, but the gateway starts without
    them.

    \b
    Example:
        foreword check --config config.toml
    """
    problems = [*mistakes(config), *command_problems(config)]
    broken = [] if problems else broken_templates(config)
    warnings = [] if problems else open_folders(load(config))
    if as_json:
        click.echo(msgspec.json.encode({"mistakes": problems, "templates_left_out": broken, "warnings": warnings}))
        raise SystemExit(2 if problems else 0)
    if problems:
        report(ConfigError(problems))
    for text in broken:
        click.secho(f"left out: {text}", fg="yellow", err=True)
    for warning in warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    click.secho(f"{config} is fine.", fg="green")


def broken_templates(config: Path) -> list[str]:
    """Return the template files that cannot be loaded, each with line, column and reason."""
    from gateway.prompt.language.vocabulary import VOCABULARY
    from gateway.prompt.library.library import load_library

    settings = load(config)
    if settings.embedder is None:
        return []
    VOCABULARY.use(settings.root / folder for folder in settings.prompt.languages)
    return [str(error) for error in load_library([settings.root / folder for folder in settings.prompt.templates])[1]]


def command_problems(config: Path) -> Iterator[Problem]:
    """Yield the mistakes in tables that are read by commands of other packages, such as the schedules in `[jobs]`."""
    settings, _ = read_file(config)
    if settings is None:
        return
    for point in entry_points(group=GROUP):
        problems = getattr(point.load(), "problems", None)
        if problems is not None:
            yield from problems(settings)


def mistakes(config: Path, server: Mapping[str, Any] | None = None, posted: str | None = None) -> list[Problem]:
    """Return the mistakes in the file and in the parts that it configures.

    `server` holds values from the command line, which replace those in `[server]`. `posted` stands in for the file.
    """
    from gateway.adapters import problems_of
    from gateway.serving.tls import tls_problems

    settings, problems = read_file(config) if posted is None else read_posted(posted, config)
    if settings is None:
        return problems
    settings = replace(settings, server=replace(settings.server, **(server or {})))
    return [*problems, *problems_of(settings), *_folder_problems(settings), *tls_problems(settings)]


def open_folders(settings: Settings) -> list[Problem]:
    """Return a warning if other users of this machine can read the data folder, else an empty list."""
    folder = settings.data_folder
    if not folder.is_dir() or not (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
        return []
    what = f"{folder} has mode {mode:04o}, so other users of this machine can read the prompts and answers in it"
    return [Problem(f"{settings.file} [data] folder", what, f"Run: chmod -R go= {shlex.quote(str(folder))}")]


def unwritable(settings: Settings, why: str) -> Problem:
    remedy = "Name another folder, or let the user who starts the gateway write there."
    return Problem(f"{settings.file} [data] folder", f"{settings.data_folder} cannot be written: {why}", remedy)


def _folder_problems(settings: Settings) -> list[Problem]:
    """Return a problem if the permissions do not allow writing to the data folder. `foreword serve` also tries to
    write.
    """
    folder = settings.data_folder
    nearest = next(place for place in (folder, *folder.parents) if os.path.exists(place))  # noqa: PTH110 - never raises
    if not nearest.is_dir():
        return [unwritable(settings, f"{nearest} is a file")]
    if not os.access(nearest, os.W_OK | os.X_OK):
        why = "read-only" if nearest.stat().st_uid == os.geteuid() else "another user's"
        return [unwritable(settings, f"{nearest} is {why}")]
    return []
