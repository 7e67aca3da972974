"""`foreword templates promote`, `retire`, `rollback` and `reload`: change the version in use."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click

from gateway.ask import Mode
from gateway.cli.config import config_option, load_settings
from gateway.cli.templates.options import (
    echo_json,
    find_template,
    folder_option,
    folders_of,
    json_option,
    open_library,
    refuse,
    settings_for,
)
from gateway.prompt.authoring import promote_rollback as moves
from gateway.prompt.library.pointers import DEFAULT_SHARE
from gateway.prompt.templates.fields import Status

RELOAD_S = 120.0


@click.command()
@click.argument("ref")
@click.option(
    "--to",
    type=click.Choice(["candidate", "canary", "active"]),
    help="The expected next step. Any other step is refused.",
)
@click.option(
    "--share",
    type=click.FloatRange(0.0, 1.0),
    default=DEFAULT_SHARE,
    show_default=True,
    help="The share of requests that a canary gets.",
)
@click.option("--no-classifier", is_flag=True, help="Do not classify the examples, and load no model.")
@folder_option
@json_option
@config_option
def promote(
    ref: str,
    to: str | None,
    share: float,
    no_classifier: bool,
    folders: tuple[Path, ...],
    as_json: bool,
    config: Path,
) -> None:
    """Promote REF by one step: draft, candidate, canary, active. Refused if lint or a test of the template fails.

    \b
    foreword templates promote refund.en                   # the newest version, one step
    foreword templates promote refund.en@4 --to canary --share 0.1
    foreword templates promote refund.en --to active

    A candidate is used only by requests that name it. A canary gets its share of the requests; the previous version
    gets the rest. An active version gets all requests. Before the steps to canary and active, a classifier is trained
    for the new library and must pass `foreword templates test`; the gateway then uses this classifier. The command
    edits one word of the file and one line of pointers.yaml. A running gateway reads both within seconds.
    """
    library, errors = open_library(folders, config)
    template = find_template(library, ref)
    if any(error.file == template.file for error in errors):
        refuse([str(error) for error in errors])
    try:
        step = Status(to) if to else None
        examine = None if no_classifier else _examine(folders, config)
        moved = moves.promote(library, folders_of(folders, config), template, step, share, examine)
    except moves.MoveRefused as refused:
        refuse(refused.reasons)
    _print_move(moved, folders, config, as_json)


@click.command()
@click.argument("ref")
@folder_option
@json_option
@config_option
def retire(ref: str, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Take REF out of use. Only requests that name this version still get it. The version stays in the archive.

    \b
    foreword templates retire refund.en@3
    """
    library, _ = open_library(folders, config)
    try:
        moved = moves.retire(library, folders_of(folders, config), find_template(library, ref))
    except moves.MoveRefused as refused:
        refuse(refused.reasons)
    _print_move(moved, folders, config, as_json)


@click.command()
@click.argument("id")
@folder_option
@json_option
@config_option
def rollback(id: str, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Undo the last promotion of ID: end its canary, or else go back to the previous version.

    \b
    foreword templates rollback refund.en

    A canary becomes a candidate again. Without a canary, rollback swaps the current and the previous version in
    pointers.yaml, and a second rollback swaps them back. If a template has only one version, retire it instead.
    """
    library, _ = open_library(folders, config)
    try:
        pointer = moves.rollback(library, folders_of(folders, config), id)
    except moves.MoveRefused as refused:
        refuse(refused.reasons)
    if as_json:
        echo_json({"id": id, "pointer": pointer})
    else:
        click.echo(f"{id}: {_in_use(folders, config, id)}")


@click.command()
@click.option("--url", default="", help="The address of the gateway. Default: the configured port on this machine.")
@click.option(
    "--key",
    envvar="FOREWORD_KEY",
    default="",
    help="A key with admin = true. Default: the environment variable FOREWORD_KEY.",
)
@json_option
@config_option
def reload(url: str, key: str, as_json: bool, config: Path) -> None:
    """Make a running gateway read its templates again now, and print the result.

    \b
    foreword templates reload
    FOREWORD_KEY=... foreword templates reload --url https://gateway.example

    The whole library is replaced at once. If a file is broken, nothing is replaced; the command prints the mistakes and
    exits with 1. The gateway also checks its files twice a second, unless watch_s is 0.
    """
    server = load_settings(config).server
    status, answer = _post(f"{url or f'http://{_host(server.host)}:{server.port}'}/v1/foreword/templates/reload", key)
    if as_json:
        echo_json(answer)
    elif status == 200:
        click.echo(f"{answer['templates']} templates, {len(answer['changed'])} changed, {len(answer['gone'])} gone")
    if status != 200:
        errors = [str(error) for error in answer.get("errors", ())]
        refuse(errors or [str(answer.get("error", {}).get("message", f"the gateway answered {status}"))])


def _examine(folders: tuple[Path, ...], config: Path) -> moves.Examine | None:
    """Return the function that classifies the examples. Returns None if no embedder is configured, because the
    classifier needs one.
    """
    settings = settings_for(folders, config)
    if settings.embedder is None:
        return None
    from gateway.cli.templates.example_tests import examine_with

    return examine_with(settings)


def _print_move(moved: moves.MoveResult, folders: tuple[Path, ...], config: Path, as_json: bool) -> None:
    if as_json:
        echo_json(moved)
        return
    id = moved.ref.partition("@")[0]
    click.echo(f"{moved.ref}: {moved.before} -> {moved.after}; {_in_use(folders, config, id)}")
    if moved.after is Status.ACTIVE:
        for line in _unproven(moved.ref, folders, config):
            click.echo(line)


def _unproven(ref: str, folders: tuple[Path, ...], config: Path) -> Iterator[str]:
    """Yield a line for each model that will use the version only after its gain is measured. The line states the cost
    of the measurement.
    """
    from gateway.prompt.measure.unproven import models_of, unproven
    from gateway.prompt.policy.decide import RewritePolicy
    from gateway.prompt.policy.gains import GainTable, gains_path, shipped_gains

    settings = settings_for(folders, config)
    own = settings.templates.get(ref.partition("@")[0])
    if settings.prompt.mode is not Mode.PROVEN or (own is not None and own.mode is Mode.ON):
        return
    policy = RewritePolicy(settings.templates, GainTable(gains_path(settings.data_folder), shipped=shipped_gains()))
    library, _ = open_library(folders, config)
    for model in models_of(settings).items():
        report = unproven(library, policy, model, settings.call_prices, ref)
        if report is not None:
            yield report.of_one()


def _in_use(folders: tuple[Path, ...], config: Path, id: str) -> str:
    library, _ = open_library(folders, config)
    stable = library.speaking.get(id)
    production = f"version {stable.version} is used" if stable else "no version is used"
    trials = (pair for pairs in library.canaries.values() for pair in pairs if pair[0].id == id)
    trial = next((f", version {canary.version} for {share:.0%} of the requests" for canary, share in trials), "")
    return production + trial


def _post(url: str, key: str) -> tuple[int, Mapping[str, Any]]:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} is not an http address", param_hint="--url")
    request = Request(url, data=b"", method="POST", headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urlopen(request, timeout=RELOAD_S) as reply:
            return reply.status, json.loads(reply.read())
    except HTTPError as error:
        try:
            return error.code, json.loads(error.read())
        except ValueError:
            return error.code, {}
    except (URLError, OSError) as error:
        raise click.ClickException(f"{url} cannot be reached: {error}; is the gateway running?") from error


def _host(host: str) -> str:
    """Return the address at which this machine reaches a gateway that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
