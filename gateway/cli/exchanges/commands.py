"""`foreword exchanges`: lists recorded exchanges and shows one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gateway.cli.config import config_option, load_settings, report
from gateway.errors import ConfigError, DatabaseFailed
from gateway.records.locations import database_url, spool_folder
from gateway.settings.tables import Settings

if TYPE_CHECKING:  # SQLAlchemy and rich are imported when a command runs, so that --help is fast
    from gateway.records.database import Database

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group()
def exchanges() -> None:
    """Show recorded exchanges: the prompt, each decision, the prompt as sent, the answer.

    \b
    List the last exchanges that a template rewrote:
        foreword exchanges list --template summarise/en
    Show one exchange with every decision and its cost:
        foreword exchanges show ID
    """


def since_s(_context: click.Context, _parameter: click.Parameter, value: str) -> float:
    """Convert an age such as `30m`, `2h` or `7d`, or a date, to seconds since 1970. "" gives 0."""
    if not value:
        return 0.0
    if ago := re.fullmatch(r"(\d{1,5})([mhdw])", value):
        return (datetime.now(UTC) - timedelta(**{UNITS[ago[2]]: int(ago[1])})).timestamp()
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a time; write 30m, 2h, 7d, or 2026-01-31.") from None


@exchanges.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="List at most this many.")
@click.option("--model", default="", help="Only requests for this model.")
@click.option("--intent", default="", help="Only requests of this intent.")
@click.option("--template", default="", help="Only requests that this template rewrote.")
@click.option(
    "--since",
    default="",
    metavar="TIME",
    callback=since_s,
    help="Only requests since this time: 30m, 2h, 7d, 2026-01-31.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@config_option
def list_exchanges(
    limit: int, model: str, intent: str, template: str, since: float, as_json: bool, config: Path
) -> None:
    """List the exchanges, newest first.

    \b
    Example:  foreword exchanges list --since 2h --intent summarise
    """
    from gateway.records.database import ExchangeFilter

    filters = ExchangeFilter(limit, model, intent, template, since_s=since)
    with opened(load_settings(config)) as database:
        summaries = database.find(filters)
    if as_json:
        for summary in summaries:
            click.echo(msgspec.json.encode(summary))
        return
    from gateway.cli.exchanges.tables import print_exchanges

    print_exchanges(summaries)


@exchanges.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as one JSON object.")
@config_option
def show(id: str, as_json: bool, config: Path) -> None:
    """Show one exchange: the prompt before and after, each decision, the answer, and feedback.

    `foreword exchanges list` and the response header x-foreword-id show the id. The first characters are enough, if no
    other id begins with them.
    """
    from gateway.records.archive import as_json as entry_json
    from gateway.records.archive import entry_of

    with opened(load_settings(config)) as database:
        entry = entry_of(database, _whole_id(database, id))
    if entry is None:
        raise click.ClickException(f"There is no exchange {id!r}. See: foreword exchanges list")
    if as_json:
        click.echo(entry_json(entry))
        return
    from gateway.cli.exchanges.tables import print_entry

    print_entry(entry)


def _whole_id(database: Database, start: str) -> str:
    """Return the id that begins with `start`, or `start` itself if no id begins so. Exits if several ids match.

    Tables may show only the first characters of an id.
    """
    ids = database.ids_like(start.rstrip(".…")) if start.rstrip(".…") else []
    if len(ids) > 1 and start not in ids:
        raise click.ClickException(f"several ids begin with {start!r}: {', '.join(ids)} …")
    return ids[0] if len(ids) == 1 else start


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database. Records that stopped servers left in the spool are added to it first."""
    from gateway.records.database import Database
    from gateway.records.segment_reader import SegmentReader
    from gateway.wire.chat.answer import read_answer

    try:
        database = Database.open(database_url(settings))
        try:
            SegmentReader(read_answer).take_orphans(spool_folder(settings), database)
            yield database
        finally:
            database.close()
    except ConfigError as error:
        report(error)
    except DatabaseFailed as error:
        raise click.ClickException(
            f"{error}\nThe database's address is set by [records] database in {settings.file}."
        ) from error
