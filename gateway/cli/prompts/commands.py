"""`foreword prompts`: lists, shows and names the prompts that applications build. The job `discover` finds them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
from msgspec.structs import replace

from gateway.cli.config import config_option, load_settings
from gateway.cli.prompts import contracts, importing, move, unlock, versions
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState, PromptVersion
from gateway.prompt.found.shown_contract import with_contract
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put, read_found
from gateway.prompt.found.view import difference, listed, may_show_values, shown

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@click.group()
def prompts() -> None:
    """Show the prompts that your applications build, found in their recorded traffic.

    An application fills the same text again and again with other values. The job `discover` finds the fixed text (the
    skeleton) and the places of the values (the parts). Applications need not name or tag anything.

    \b
    Find prompts:                  foreword jobs run discover
    List the prompts:              foreword prompts list
    Show a prompt and its parts:   foreword prompts show NAME
    Give a prompt a better name:   foreword prompts name p-3f1c ticket-triage
    See what a deployment changed: foreword prompts diff ticket-triage
    Make a template of a prompt:   foreword prompts adopt ticket-triage
    Give a prompt as a file:       foreword prompts import triage.md
    Compare another model:         foreword prompts move ticket-triage --to MODEL --dry-run

    A text counts as a prompt after ten requests from three users or on three days. For texts that do not count yet,
    `list` shows what they still lack. A request with a found prompt has the prompt's id in the header
    x-foreword-recognise and in its record.
    """


for command in (*versions.COMMANDS, *contracts.COMMANDS, *unlock.COMMANDS):
    prompts.add_command(command)
prompts.add_command(importing.import_prompts)
prompts.add_command(move.move)


@prompts.command("list")
@click.option("--key", default="", help="Only prompts of this key.")
@click.option("--all", "ignored", is_flag=True, help="Also show ignored prompts.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@config_option
def list_prompts(key: str, ignored: bool, as_json: bool, config: Path) -> None:
    """List the prompts with their requests, cost, latency and feedback, the most used first.

    \b
    Example:  foreword prompts list --key app
    """
    content = read_found(found_path(load_settings(config).data_folder))
    chosen = [
        one for one in content.prompts if (ignored or one.state is not PromptState.IGNORED) and key in ("", one.key)
    ]
    chosen.sort(key=lambda one: (-one.use.requests, one.id))
    if as_json:
        for one in chosen:
            click.echo(msgspec.json.encode(listed(one)))
        return
    from gateway.cli.prompts.tables import print_prompts, print_waiting

    print_prompts([listed(one) for one in chosen], content.mined)
    print_waiting([one for one in content.waiting if key in ("", one.key)])


@prompts.command("show")
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="An older version. Default: the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def show_prompt(name: str, version: int | None, as_json: bool, config: Path) -> None:
    """Show the prompt NAME: its skeleton, its parts with examples of their values, its use, and its answer contract.

    NAME is a name or an id of `foreword prompts list`. The first characters of an id are enough.
    """
    settings = load_settings(config)
    prompt = one_of(read_found(found_path(settings.data_folder)).prompts, name)
    view = shown(prompt, version_of(prompt, version), values=may_show_values(settings, prompt.key))
    view = with_contract(view, settings.data_folder)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(view), indent=2))
        return
    from gateway.cli.prompts.tables import print_prompt

    print_prompt(view)


@prompts.command("name")
@click.argument("name")
@click.argument("new")
@config_option
def name_prompt(name: str, new: str, config: Path) -> None:
    """Give the prompt NAME the name NEW.

    \b
    Example:  foreword prompts name p-3f1c ticket-triage
    """
    if not NAME.fullmatch(new):
        raise click.BadParameter(
            f"{new!r} cannot be a name; use up to 64 lower-case letters, digits, '-', '_' and '.'."
        )

    def renamed(content: FoundFile) -> FoundFile:
        if any(one.name == new or one.id == new for one in content.prompts):
            raise click.ClickException(f"a prompt {new!r} exists already; see: foreword prompts list --all")
        return put(content, [replace(one_of(content.prompts, name), name=new)])

    change_found(found_path(load_settings(config).data_folder), renamed)
    click.echo(f"{name} is {new} now")


@prompts.command("ignore")
@click.argument("name")
@click.option("--undo", is_flag=True, help="List and recognise the prompt again.")
@config_option
def ignore_prompt(name: str, undo: bool, config: Path) -> None:
    """Stop listing and recognising the prompt NAME. The prompt stays in the file, so that `discover` does not find it
    again.
    """
    state = PromptState.FOUND if undo else PromptState.IGNORED

    def changed(content: FoundFile) -> FoundFile:
        # otherwise a later `adopt` would send a promoted version at once
        return put(content, [replace(one_of(content.prompts, name), state=state, spoken=None)])

    change_found(found_path(load_settings(config).data_folder), changed)
    click.echo(f"{name}: {state}")


@prompts.command("diff")
@click.argument("name")
@click.option("--from", "old", type=click.IntRange(1), help="The older version. Default: the version before --to.")
@click.option("--to", "new", type=click.IntRange(1), help="The newer version. Default: the newest.")
@config_option
def diff_prompt(name: str, old: int | None, new: int | None, config: Path) -> None:
    """Show what changed between two versions of the prompt NAME, for example in a deployment."""
    prompt = one_of(read_found(found_path(load_settings(config).data_folder)).prompts, name)
    later = version_of(prompt, new)
    earlier = version_of(prompt, old) if old else _before(prompt, later)
    lines = difference(earlier, later)
    click.echo("\n".join(lines) if lines else "no difference")


def _before(prompt: FoundPrompt, version: PromptVersion) -> PromptVersion:
    earlier = [one for one in prompt.versions if one.number < version.number]
    if not earlier:
        raise click.ClickException(f"{prompt.name} has no version before {version.number}")
    return earlier[-1]


def version_of(prompt: FoundPrompt, number: int | None) -> PromptVersion:
    """Return a version of a prompt, or the newest one if `number` is None."""
    if number is None:
        return prompt.newest
    for version in prompt.versions:
        if version.number == number:
            return version
    known = ", ".join(str(version.number) for version in prompt.versions)
    raise click.ClickException(f"{prompt.name} has no version {number}; it has {known}")
