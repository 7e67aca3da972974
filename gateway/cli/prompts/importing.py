"""`foreword prompts import`: gives the gateway a prompt as a file instead of letting `discover` find it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.ask import Endpoint
from gateway.cli.config import config_option, load_settings
from gateway.prompt.found.store import FoundFile, change_found, found_path, put, read_found
from gateway.prompt.found.view import listed
from gateway.prompt.given.as_found import ImportedPrompt, put_given
from gateway.prompt.given.formats import FORMATS
from gateway.prompt.given.given_prompt import GivenPrompt, PromptFileBroken
from gateway.settings.tables import Settings

ENDPOINTS = (Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MESSAGES)
NOBODY = "anonymous"


@click.command("import")
@click.argument("source", metavar="FILE|ADDRESS")
@click.option(
    "--from",
    "form",
    type=click.Choice(list(FORMATS)),
    default="file",
    show_default=True,
    help="Whose file it is. `file` is Markdown with the sections `# system` and `# user`, a JSON list of messages, or "
    "the text of a user message.",
)
@click.option("--key", default="", help="The key whose requests have the prompt. Needed if there are several keys.")
@click.option("--endpoint", type=click.Choice(ENDPOINTS), default=Endpoint.CHAT, show_default=True)
@click.option("--name", default="", help="Default: the name in the file.")
@click.option("--dry-run", is_flag=True, help="Only show what would be imported.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per prompt.")
@config_option
def import_prompts(
    source: str, form: str, key: str, endpoint: str, name: str, dry_run: bool, as_json: bool, config: Path
) -> None:
    """Import prompts, so that requests with them are recognised without waiting for `discover`.

    The variables of the prompt become parts. A condition, a loop or a partial becomes one part with all that it writes.
    The report says what was left out. A prompt whose name is known gets its next version.

    With `--from langfuse` an address is read too, with LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.

    \b
    foreword prompts import triage.md
    foreword prompts import tensorzero.toml --from tensorzero --key app
    foreword prompts import https://cloud.langfuse.com/api/public/v2/prompts/triage --from langfuse
    """
    settings = load_settings(config)
    key = key_of(settings, key)
    given = read_source(source, form)
    if name and len({one.name for one in given}) > 1:
        raise click.UsageError(f"{source} has {len(given)} prompts, so --name would give all of them the same name")
    path = found_path(settings.data_folder)
    imports: list[ImportedPrompt] = []

    def changed(content: FoundFile) -> FoundFile:
        imports.clear()
        for one in given:
            imports.append(put_given(content.prompts, one, key, endpoint, name))
            content = put(content, [imports[-1].prompt])
        return content

    if dry_run:
        changed(read_found(path))
    else:
        change_found(path, changed)
    for one in imports:
        click.echo(_as_json(one) if as_json else _told(one, dry_run=dry_run))


def key_of(settings: Settings, key: str) -> str:
    """Return the name of the key under which the prompt is recognised."""
    names = list(settings.keys)
    if key and key not in (names or [NOBODY]):
        known = ", ".join(names) or f"none, so leave --key out, or say {NOBODY}"
        raise click.UsageError(f"there is no key {key!r} in the config; known: {known}")
    if not key and len(names) > 1:
        raise click.UsageError(f"say with --key whose requests have the prompt: {', '.join(names)}")
    return key or (names[0] if names else NOBODY)


def read_source(source: str, form: str) -> list[GivenPrompt]:
    """Read the prompts of a file or an address. Raises `PromptFileBroken` and `click.UsageError`."""
    if source.startswith(("http://", "https://")):
        if form != "langfuse":
            raise click.UsageError("only --from langfuse reads an address; give a file")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "prompt.json"
            file.write_bytes(_downloaded(source))
            return FORMATS[form](file)
    file = Path(source)
    if not file.is_file():
        raise click.UsageError(f"{file} is no file")
    return FORMATS[form](file)


def _downloaded(address: str) -> bytes:
    import httpx

    names = ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise click.UsageError(f"set {' and '.join(missing)} to read {address}")
    user, password = (os.environ[name] for name in names)
    try:
        answer = httpx.get(address, auth=(user, password), timeout=30)
    except httpx.HTTPError as error:
        raise PromptFileBroken(f"{address} cannot be read: {error}") from error
    if answer.status_code != httpx.codes.OK:
        hint = "; check the two keys" if answer.status_code in (401, 403) else ""
        raise PromptFileBroken(f"{address} answers {answer.status_code}{hint}")
    return answer.content


def _told(one: ImportedPrompt, *, dry_run: bool) -> str:
    prompt = one.prompt
    if not one.is_new:
        what = "is known with this text"
    else:
        verb = "would be" if dry_run else "is"
        what = f"{verb} imported as version {prompt.newest.number}"
        what += f", for the key {prompt.key!r} at {prompt.endpoint}"
    losses = "".join(f"\n  - {loss}" for loss in one.losses)
    return f"{prompt.name} ({prompt.id}) {what}{losses}"


def _as_json(one: ImportedPrompt) -> bytes:
    view: dict[str, Any] = {"prompt": listed(one.prompt), "new": one.is_new, "losses": one.losses}
    return msgspec.json.encode(view)
