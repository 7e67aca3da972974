"""`foreword`: the group of all commands. Each is imported only when it is called."""

import importlib
import os
from importlib.metadata import entry_points
from typing import Any

import click

COMMANDS = {
    "serve": "gateway.cli.serve:serve",
    "check": "gateway.cli.check:check",
    "explain": "gateway.cli.explain:explain",
    "templates": "gateway.cli.templates.commands:templates",
    "collections": "gateway.cli.collections.commands:collections",
    "classifier": "gateway.cli.classifier.commands:classifier",
    "engines": "gateway.cli.engines:engines",
    "exchanges": "gateway.cli.exchanges.commands:exchanges",
    "gains": "gateway.cli.gains.commands:gains",
}
PRIVATE = 0o077
"""The umask of every command."""
GROUP = "foreword.commands"
"""Entry points of further commands, such as those of the offline jobs, which the gateway knows nothing of."""


class Commands(click.Group):
    """Loads a command when it is called, so that `foreword --help` never waits for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted({point.name for point in entry_points(group=GROUP)} - {*COMMANDS})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        path = COMMANDS.get(cmd_name) or next((one.value for one in entry_points(group=GROUP, name=cmd_name)), None)
        if path is None:
            return None
        module, _, attribute = path.partition(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="foreword")
@click.pass_context
def main(context: click.Context) -> None:
    """Foreword: a prompt and context gateway for OpenAI-compatible applications.

    \b
    Start it:           foreword serve
    See what it would do, without calling a model:
                        foreword explain "Summarise this: ..."
    Check the config:   foreword check
    """
    # prompts, answers and uploads are for their owner alone, in every file and database that a command makes
    before = os.umask(PRIVATE)
    context.call_on_close(lambda: os.umask(before))


if __name__ == "__main__":
    main()
