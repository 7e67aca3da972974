"""`foreword`, the group of all commands. A command is imported only when it is called."""

import difflib
import errno
import importlib
import os
from importlib.metadata import entry_points
from typing import Any

import click

from gateway.errors import ConfigError, ForewordError

COMMANDS = {
    "serve": "gateway.cli.serve:serve",
    "check": "gateway.cli.check:check",
    "explain": "gateway.cli.explain:explain",
    "templates": "gateway.cli.templates.commands:templates",
    "collections": "gateway.cli.collections.commands:collections",
    "classifier": "gateway.cli.classifier.commands:classifier",
    "engines": "gateway.cli.engines.commands:engines",
    "exchanges": "gateway.cli.exchanges.commands:exchanges",
    "gains": "gateway.cli.gains.commands:gains",
    "prompts": "gateway.cli.prompts.commands:prompts",
}
PRIVATE = 0o077
"""The umask of every command."""
GROUP = "foreword.commands"
"""The group of entry points through which other packages, such as the offline jobs, add commands."""


REMEDIES = {
    errno.ENOSPC: "; free some space and run the command again: no file was left half-written",
    errno.EDQUOT: "; free some space and run the command again: no file is half written",
    errno.EACCES: "; give the user who runs the command access to it",
    errno.EROFS: "; its file system is read-only",
}


class Commands(click.Group):
    """A group that imports a command only when it is called, so that `foreword --help` is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted({point.name for point in entry_points(group=GROUP)} - {*COMMANDS})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        path = COMMANDS.get(cmd_name) or next((point.value for point in entry_points(group=GROUP, name=cmd_name)), None)
        if path is None:
            return None
        module, _, attribute = path.partition(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if not close:
                raise
            raise click.UsageError(f"{error.message} Did you mean {close[0]}?", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Expected errors, such as a full disk, are printed in one line without a traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            from gateway.cli.config import report  # imported here, so that --help does not load the settings

            report(error)
        except (OSError, ForewordError) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of the pipe has closed it; click exits without a message
            raise click.ClickException(_one_line(error)) from error
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("sqlite3", "sqlalchemy"):
                raise
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}{REMEDIES.get(error.errno or 0, '')}"
    return str(getattr(error, "orig", None) or error) or type(error).__name__


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
    # commands create files with prompts, answers and uploads, so only their owner may read them
    before = os.umask(PRIVATE)
    context.call_on_close(lambda: os.umask(before))


if __name__ == "__main__":
    main()
