"""The commands as a group: what goes wrong below them is one line, and a misspelt one is recognised."""

import errno
import sqlite3

import click
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from gateway.cli.main import COMMANDS, Commands, main
from gateway.errors import CollectionError, TemplateError


def failing(error: Exception) -> click.Command:
    @click.command("fail")
    def fail() -> None:
        raise error

    return fail


class OneCommand(Commands):
    """The group of all commands with one that fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return failing(self.error)


FULL = OSError(errno.ENOSPC, "No space left on device", "/data/gains.json")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FULL, "Error: /data/gains.json: No space left on device; free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "Error: /data: Permission denied; give the user"),
        (TimeoutError("a.json is being written by another process"), "Error: a.json is being written by another"),
        (sqlite3.OperationalError("database or disk is full"), "Error: database or disk is full"),
        (OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full")), "Error: database or di"),
        (TemplateError("a.md", "is broken", 3, 1), "Error: a.md:3:1: is broken"),
        (CollectionError("no such collection"), "Error: no such collection"),
    ],
)
def test_what_goes_wrong_outside_is_one_line(error: Exception, line: str) -> None:
    result = CliRunner().invoke(OneCommand(error), ["fail"])
    assert result.exit_code == 1
    assert result.output.startswith(line)
    assert len(result.output.splitlines()) == 1


def test_a_mistake_in_the_code_keeps_its_traceback() -> None:
    result = CliRunner().invoke(OneCommand(KeyError("x")), ["fail"])
    assert isinstance(result.exception, KeyError)


@pytest.mark.parametrize(("word", "close"), [("explian", "explain"), ("template", "templates"), ("sreve", "serve")])
def test_a_misspelt_command_is_recognised(word: str, close: str) -> None:
    result = CliRunner().invoke(main, [word])
    assert result.exit_code == 2
    assert f"Did you mean {close}?" in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    assert "Usage:" in CliRunner().invoke(main, [name, "--help"]).output
