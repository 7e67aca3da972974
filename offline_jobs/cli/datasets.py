"""`foreword jobs datasets`: lists, exports and imports datasets."""

from pathlib import Path

import click

from gateway.cli.config import config_option, load_settings
from offline_jobs.datasets import dataset
from offline_jobs.errors import JobFailed


@click.group()
def datasets() -> None:
    """Dataset versions, which come from harvests and imports."""


@datasets.command("list")
@config_option
def list_(config: Path) -> None:
    """List all versions, newest first."""
    for version in dataset.versions(load_settings(config).data_folder):
        click.echo(f"{version.ref:40}{version.rows:>9,} rows  {version.job or 'imported'}  {dict(version.counts)}")


@datasets.command()
@click.argument("ref")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@config_option
def export(ref: str, file: Path, config: Path) -> None:
    """Write a version to FILE, which ends in .jsonl or .parquet.

    \b
    foreword jobs datasets export failures failures.parquet
    """
    version = dataset.find(load_settings(config).data_folder, ref)
    click.echo(f"{dataset.export(version, file):,} rows of {version.ref}")


@datasets.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--field", "fields", multiple=True, metavar="OURS=THEIRS", help="For example --field query=text.")
@config_option
def import_(name: str, file: Path, fields: tuple[str, ...], config: Path) -> None:
    """Make a new version of dataset NAME from the rows in FILE (.jsonl or .parquet). Each row needs a `query`.

    \b
    foreword jobs datasets import tickets tickets.jsonl --field query=text --field wanted=label
    """
    names = dict(_pair(field) for field in fields)
    rows = dataset.rows_in(file, names)
    query = {"file": str(file), "fields": names}
    made = dataset.write(load_settings(config).data_folder, name, rows, counts={}, query=query)
    click.echo(f"{made.ref}: {made.rows:,} rows")


def _pair(field: str) -> tuple[str, str]:
    ours, equals, theirs = field.partition("=")
    if not equals:
        raise JobFailed(f"--field {field}: write OURS=THEIRS, such as query=text")
    return ours, theirs
