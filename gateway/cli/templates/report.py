"""`foreword templates report`: shows from the records how each template was used, and its scores and cost."""

from pathlib import Path

import click

from gateway.cli.config import config_option, load_settings
from gateway.cli.exchanges.commands import opened, since_s
from gateway.cli.listing import print_rows
from gateway.prompt.policy.standings import newest_states, standings_path
from gateway.records import template_report


@click.command()
@click.option(
    "--since",
    default="",
    metavar="TIME",
    callback=since_s,
    help="Only requests since this time: 30m, 2h, 7d, 2026-01-31.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_option
def report(since: float, as_json: bool, config: Path) -> None:
    """Show for each template how often it rewrote a prompt, why it did not, its feedback and its cost.

    \b
    foreword templates report --since 7d
    foreword templates report --json | jq '.[] | select(.gain.high < 0)'

    "held" requests are the controls: a template was chosen, but the prompt was left unchanged. "gain" is the mean
    feedback of rewritten requests minus that of controls, with a 95 % interval. "tokens" are the prompt tokens that a
    rewrite adds on average, estimated as a quarter of the bytes. The row "(none)" counts requests for which no template
    was chosen.
    """
    settings = load_settings(config)
    standings = newest_states(standings_path(settings.data_folder))
    with opened(settings) as database:
        uses = template_report.report(database, since_s=since)
    if as_json:
        click.echo(template_report.as_json(uses, standings))
        return
    if not uses:
        click.echo("No recorded request had a known intent or a template.")
        return
    header = template_report.HEADER
    print_rows(header, template_report.rows_of(uses), right=header[1:])
    for use in uses:
        if use.template in standings:
            click.echo(f"{use.template}, against its controls: {standings[use.template]}")
        for reason, count in use.top_reasons:
            click.echo(f"{use.template}, {count:,} requests not rewritten: {reason}")
