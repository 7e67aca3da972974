"""`foreword templates compare`: compares the scores of two versions in the records."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.config import config_option, load_settings
from gateway.cli.exchanges.commands import opened, since_s
from gateway.cli.templates.options import find_template
from gateway.errors import BadRequest
from gateway.prompt.answers.judge import yardstick
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.versions import VersionArchive
from gateway.records import compare as records
from gateway.records.compare import VersionComparison, rows_of
from gateway.settings.tables import Settings


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    callback=since_s,
    help="Only answers since this time: 30m, 2h, 7d, 2026-01-31.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_option
def compare(a: str, b: str, since: float, as_json: bool, config: Path) -> None:
    """Compare the recorded scores of two versions of a template. `raw` stands for the controls.

    \b
    foreword templates compare summarise.en@3 summarise.en@4 --since 7d
    foreword templates compare summarise.en@3 raw

    Scores come from feedback and from the template's `checks`, if it has any. Intervals are 95 % intervals. If there is
    "not enough data", the command says how many answers would make the present difference certain.
    """
    settings = load_settings(config)
    try:
        versions = records.read_versions(a, b)
    except BadRequest as error:
        raise click.ClickException(error.message) from None
    library = library_of(settings)
    for version in versions:
        find_template(library, f"{version.id}@{version.version}")
    score = yardstick(library, [(version.id, version.version) for version in versions])
    with opened(settings) as database:
        comparison = records.compare(database, *versions, since_s=since, score_text=score)
    if as_json:
        click.echo(records.as_json(comparison))
    else:
        _print(comparison)


def library_of(settings: Settings) -> Library:
    """Open the configured library, including archived versions."""
    from gateway.loading import archive_folder

    folders = [(settings.root / folder).resolve() for folder in settings.prompt.templates]
    return load_library(folders, VersionArchive(archive_folder(settings)))[0]


def _print(comparison: VersionComparison) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for version in (comparison.a, comparison.b):
        table.add_column(str(version), justify="right")
    for row in rows_of(comparison):
        table.add_row(*row)
    console.print(table)
    for measure in comparison.measures:
        console.print(f"\n[bold]{measure.name}[/]: {escape(str(measure))}", highlight=False)
    for caution in comparison.cautions:
        console.print(f"[yellow]note[/]: {caution}", highlight=False)
