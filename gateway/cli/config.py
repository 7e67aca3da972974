"""The option `--config` of all commands, and the report of mistakes in the file."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from gateway.errors import ConfigError
from gateway.settings.read import load
from gateway.settings.tables import Settings

Command = TypeVar("Command", bound=Callable[..., object])


def config_option(command: Command) -> Command:
    """Add the option `--config PATH` to a command."""
    return click.option(
        "--config",
        "config",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("config.toml"),
        show_default=True,
        envvar="FOREWORD_CONFIG",
        help="The configuration file.",
    )(command)


def load_settings(config: Path) -> Settings:
    """Load the configuration. If it has mistakes, print all of them and exit with status 2."""
    try:
        settings = load(config)
    except ConfigError as error:
        report(error)
    if settings.prompt.languages:
        _use_languages(settings)
    return settings


def add_languages(config: Path) -> None:
    """Add the configured languages. This is for commands that read folders other than the configured ones.

    Such a command does not check the configuration. If the file is missing or has mistakes, no languages are added.
    """
    try:
        settings = load(config)
    except ConfigError:
        return
    if settings.prompt.languages:
        _use_languages(settings)


def _use_languages(settings: Settings) -> None:
    """Add the configured languages. If a language folder cannot be read, print the reason and exit."""
    from gateway.prompt.language.vocabulary import VOCABULARY, LanguageUnusable

    try:
        VOCABULARY.use(settings.root / folder for folder in settings.prompt.languages)
    except LanguageUnusable as error:
        raise click.ClickException(f"[prompt] languages: {error}") from None


def report(error: ConfigError) -> NoReturn:
    count = len(error.problems)
    click.secho(f"{count} {'mistake' if count == 1 else 'mistakes'} in the configuration:", fg="red", err=True)
    for problem in error.problems:
        click.echo(f"  {problem}", err=True)
    raise SystemExit(2)
