"""`foreword prompts unlock`: which fixed texts of a prompt its versions may change."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.config import config_option, load_settings
from gateway.cli.listing import print_rows
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.frozen import fixed_texts, with_locks
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put, read_found

SHOWN = 100


@click.command("unlock")
@click.argument("name")
@click.argument("numbers", nargs=-1, type=int)
@click.option("--all", "every", is_flag=True, help="All fixed texts of the newest version.")
@click.option("--lock", is_flag=True, help="Lock the texts again.")
@config_option
def unlock(name: str, numbers: tuple[int, ...], every: bool, lock: bool, config: Path) -> None:
    """Let versions of the prompt NAME change its fixed texts NUMBERS. Without numbers, list the texts.

    Fixed text is frozen: jobs and people only add to it. When the application is deployed with a changed text, the new
    text is frozen again.

    \b
    foreword prompts unlock ticket-triage
    foreword prompts unlock ticket-triage 2
    foreword prompts unlock ticket-triage 2 --lock
    """
    path = found_path(load_settings(config).data_folder)
    prompt = one_of(read_found(path).prompts, name)
    if numbers or every:
        changed: list[FoundPrompt] = []

        def change(content: FoundFile) -> FoundFile:
            own = one_of(content.prompts, name)
            chosen = [one.number for one in fixed_texts(own)] if every else list(numbers)
            changed.append(with_locks(own, [] if lock else chosen, chosen if lock else []))
            return put(content, changed)

        change_found(path, change)
        prompt = changed[0]
    rows = (
        [str(one.number), one.role, "unlocked" if one.is_unlocked else "frozen", " ".join(one.text.split())[:SHOWN]]
        for one in fixed_texts(prompt)
    )
    print_rows(("number", "message", "state", "text"), rows, right=("number",))


COMMANDS = (unlock,)
