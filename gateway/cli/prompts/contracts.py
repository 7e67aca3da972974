"""`foreword prompts contract`: shows, checks and replaces the answer contract of an adopted prompt."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from gateway.cli.config import config_option, load_settings
from gateway.cli.listing import plain
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import contract_path, is_edited, read_contract, replace_contract
from gateway.prompt.found.found_prompt import PromptState
from gateway.prompt.found.shown_contract import claims
from gateway.prompt.found.store import found_path, one_of, read_found


@click.command("contract")
@click.argument("name")
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replace the contract by this JSON file. {} removes the contract.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the contract as JSON, to edit it.")
@config_option
def contract(name: str, file: Path | None, as_json: bool, config: Path) -> None:
    """Show what the answers to the adopted prompt NAME must keep to. Jobs give up a version that breaks it.

    \b
    Learn it from recorded answers:  foreword jobs run learn-contract prompt=NAME
    Edit it:                         foreword prompts contract NAME --json > contract.json
                                     foreword prompts contract NAME --from contract.json
    """
    folder = load_settings(config).data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, name)
    if file is not None:
        if prompt.state is not PromptState.ADOPTED:
            raise click.ClickException(f"{prompt.name} is not adopted; run: foreword prompts adopt {prompt.name}")
        try:
            new = msgspec.json.decode(file.read_bytes(), type=AnswerContract)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file}: {error}") from error
        replace_contract(folder, prompt.id, new)
    now = read_contract(folder, prompt.id)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(now or AnswerContract()), indent=1))
        return
    if now is None:
        click.echo(f"{prompt.name} has no contract; run: foreword jobs run learn-contract prompt={prompt.name}")
        return
    click.echo("\n".join(str(plain(line)) for line in claims(now)))
    click.echo(f"{'a person' if is_edited(now) else 'recorded answers'}: {contract_path(folder, prompt.id)}")


COMMANDS = (contract,)
