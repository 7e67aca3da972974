"""`foreword prompts adopt`, `export`, `add`, `promote` and `rollback`: versions of an application's own prompt."""

from __future__ import annotations

import time
from pathlib import Path

import click
from msgspec.structs import replace

from gateway.cli.config import config_option, load_settings
from gateway.disk.atomic_file import write_whole
from gateway.prompt.found.adopt import FoundTemplate, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState, promoted
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put, read_found
from gateway.prompt.found.templates import (
    add_template,
    adopt,
    exported,
    imported,
    newest_template,
    read_template,
)


@click.command("adopt")
@click.argument("name")
@config_option
def adopt_prompt(name: str, config: Path) -> None:
    """Make a template of NAME in the data folder. Version 1 renders exactly what the application sends.

    Nothing changes for the application: the application's own bytes are sent as before. Fixed text with a secret or a
    person's data is refused.
    """
    click.echo(f"{name} is adopted: {adopt(load_settings(config).data_folder, name)}")


@click.command("export")
@click.argument("name")
@click.option(
    "--version",
    type=click.IntRange(1),
    help="A version of the template. Default: version 1, which renders the application's own text.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Write to this file. Default: print.")
@config_option
def export_prompt(name: str, version: int | None, to: Path | None, config: Path) -> None:
    """Print the template of NAME, with its fixed text between {% frozen %} and {% endfrozen %}.

    \b
    Example:  foreword prompts export ticket-triage --to ticket-triage.md
    """
    folder = load_settings(config).data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, name)
    template = identity(prompt) if version is None else read_template(folder, prompt.id, version)
    if to is None:
        click.echo(exported(template, prompt.unlocked), nl=False)
    else:
        write_whole(to, exported(template, prompt.unlocked))
        click.echo(f"{to}")


@click.command("add")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--unlock", is_flag=True, help="Allow changed or missing frozen text.")
@config_option
def add_version(name: str, file: Path, unlock: bool, config: Path) -> None:
    """Add FILE, an edited export, as the next version of the adopted prompt NAME. `promote` puts the version to use.

    Every slot must occur exactly once. Frozen text must stay unchanged: add your own text around it.

    \b
    foreword prompts export ticket-triage --to ticket-triage.md
    (edit ticket-triage.md)
    foreword prompts add ticket-triage ticket-triage.md
    """
    folder = load_settings(config).data_folder
    prompt = _adopted(one_of(read_found(found_path(folder)).prompts, name))
    try:
        text = file.read_bytes().decode()  # `read_text` would change the line ends of frozen text
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8 text: {error}; save it as UTF-8") from error
    template, _ = add_template(folder, prompt.id, lambda before: imported(text, before, prompt, unlocked=unlock))
    click.echo(f"{prompt.name} has version {template.version}; send it with: foreword prompts promote {prompt.name}")


@click.command("promote")
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Default: the newest version of the template.")
@click.option("--share", default=0.1, show_default=True, type=click.FloatRange(0, 1, min_open=True))
@config_option
def promote_version(name: str, version: int | None, share: float, config: Path) -> None:
    """Use a version of the adopted prompt NAME in a share of the new conversations.

    Running conversations keep the text with which they began. All other conversations are controls: they keep the
    application's own text, or the version that everybody gets so far.

    \b
    Example:  foreword prompts promote ticket-triage --share 0.1
              foreword prompts promote ticket-triage --share 1
    """
    folder = load_settings(config).data_folder
    chosen: list[FoundTemplate] = []

    def changed(content: FoundFile) -> FoundFile:
        prompt = _adopted(one_of(content.prompts, name))
        template = read_template(folder, prompt.id, version) if version else newest_template(folder, prompt.id)
        chosen.append(template)
        return put(content, [replace(prompt, spoken=promoted(prompt, template.version, share, time.time()))])

    change_found(found_path(folder), changed)
    click.echo(
        f"{name}: version {chosen[0].version} is sent to {share:.0%} of the new conversations, within two seconds"
    )


@click.command("rollback")
@click.argument("name")
@config_option
def rollback_version(name: str, config: Path) -> None:
    """Send the application's own text again in all conversations, at once."""

    def taken_back(content: FoundFile) -> FoundFile:
        return put(content, [replace(one_of(content.prompts, name), spoken=None)])

    change_found(found_path(load_settings(config).data_folder), taken_back)
    click.echo(f"{name}: the application's own text is sent again, within two seconds")


def _adopted(prompt: FoundPrompt) -> FoundPrompt:
    if prompt.state is not PromptState.ADOPTED:
        raise click.ClickException(f"{prompt.name} is not adopted; run: foreword prompts adopt {prompt.name}")
    return prompt


COMMANDS = (adopt_prompt, export_prompt, add_version, promote_version, rollback_version)
