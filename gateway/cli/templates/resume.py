"""`foreword templates resume`: puts a template back into use after the job `watch` stopped it."""

import time
from pathlib import Path

import click

from gateway.cli.config import config_option, load_settings
from gateway.cli.templates.options import echo_json, find_template, json_option, open_library
from gateway.prompt.policy.standings import (
    Standing,
    StandingState,
    read_standings,
    standings_path,
    write_standing,
)
from gateway.prompt.templates.template import Template
from gateway.settings.tables import Settings


@click.command()
@click.argument("ref")
@json_option
@config_option
def resume(ref: str, as_json: bool, config: Path) -> None:
    """Use REF again, after the job `watch` stopped it.

    \b
    foreword templates resume refund.en

    As for a new template, some requests are left unchanged as controls. Only answers from now on count. Running workers
    notice within seconds.
    """
    settings = load_settings(config)
    template = find_template(open_library((), config)[0], ref)
    before = standing_of(settings, template)
    if before is None or before.state is not StandingState.SHADOW:
        raise click.ClickException(f"{template.ref} was not put back into the shadow, so there is nothing to resume")
    now = time.time()
    reason = f"resumed; before: {before.reason}"
    after = Standing(
        template.id, template.text_digest, StandingState.TRIED, reason, "person", now, now, template.version
    )
    write_standing(standings_path(settings.data_folder), after)
    if as_json:
        echo_json(after)
    else:
        click.echo(f"{template.ref} is used again, with controls. Reason for the shadow: {before.reason}")


def standing_of(settings: Settings, template: Template) -> Standing | None:
    """Return the result of comparing a template with its controls, or None if there is none yet."""
    return read_standings(standings_path(settings.data_folder)).get((template.id, template.text_digest))
