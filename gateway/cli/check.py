"""`foreword check`: everything that is wrong with a configuration, without serving it."""

from pathlib import Path

import click
import msgspec

from gateway.cli.config import config_option, report
from gateway.errors import ConfigError, Problem


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the mistakes as JSON.")
def check(config: Path, as_json: bool) -> None:
    """Check the configuration and report all its mistakes at once.

    Exit status 0 if the gateway would start, 2 if not.

    \b
    Example:
        foreword check --config config.toml
    """
    problems = mistakes(config)
    if as_json:
        click.echo(msgspec.json.encode(problems))
        raise SystemExit(2 if problems else 0)
    if problems:
        report(ConfigError(problems))
    click.secho(f"{config} is fine.", fg="green")


def mistakes(config: Path) -> list[Problem]:
    """Of the file, and of the parts that it names."""
    from gateway.assembly import problems_of
    from gateway.settings import read_file

    settings, problems = read_file(config)
    return problems if settings is None else [*problems, *problems_of(settings)]
