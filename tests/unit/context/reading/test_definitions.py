"""Definitions in languages whose blocks are told by whole lines."""

from pathlib import Path

import pytest

from gateway.context.reading.formats.code import code_document
from gateway.context.reading.formats.definitions import FORMS, line_blocks
from gateway.context.reading.readers import read

RUBY = """require 'set'

# Keeps doors.
class Keeper < Base
  LIMIT = 3

  # Opens one.
  def open(door)
    if door.shut?
      door.open
    end
  end

  def close = @door.close
end

def main
  puts 1
end

main
"""
SHELL = """#!/bin/sh
# Nightly copy
set -eu

# Deletes old copies.
prune() {
    find . -name "*.tar" | while read f; do
        rm "$f"
    done
}

function report {
    echo done
}

prune
"""
SQL = """-- Schema of the clinic
CREATE TABLE owner (
  owner_id INTEGER PRIMARY KEY
);

-- Animals that missed their jab
create or replace view overdue AS
SELECT 1;
INSERT INTO owner VALUES (1);
"""
LUA = "local M = {}\n\nfunction M.open(door)\n  if door then\n    return 1\n  end\nend\n\n"
LUA += "local shut = function() return 2 end\n"
PERL = "package Keeper;\nuse strict;\n\nsub open {\n    my ($self) = @_;\n    return 1;\n}\n\n1;\n"
R = "library(stats)\n\n# Mean of all.\nmean_all <- function(x) {\n  mean(x)\n}\n\nprint(mean_all(1))\n"
POWERSHELL = "param([int]$n)\n\nfunction Get-Door {\n    param($name)\n    $name\n}\n\nGet-Door\n"


def titles(source: str, suffix: str) -> list[tuple[int, str, str]]:
    """(level, title, last line) of each definition."""
    return [
        (block.level, block.title, source[block.start : block.end].rstrip().split("\n")[-1].strip())
        for block in line_blocks(source, suffix)
    ]


@pytest.mark.parametrize(
    ("suffix", "source", "expected"),
    [
        (
            ".rb",
            RUBY,
            [
                (2, "class Keeper < Base", "end"),
                (3, "def open(door)", "end"),
                (3, "def close = @door.close", "def close = @door.close"),
                (2, "def main", "end"),
            ],
        ),
        (".sh", SHELL, [(2, "prune()", "}"), (2, "function report", "}")]),
        (".sql", SQL, [(2, "CREATE TABLE owner", ");"), (2, "create or replace view overdue AS", "SELECT 1;")]),
        (
            ".lua",
            LUA,
            [
                (2, "function M.open(door)", "end"),
                (2, "local shut = function() return 2 end", "local shut = function() return 2 end"),
            ],
        ),
        (".pl", PERL, [(2, "package Keeper;", "use strict;"), (2, "sub open", "}")]),
        (".r", R, [(2, "mean_all <- function(x)", "}")]),
        (".ps1", POWERSHELL, [(2, "function Get-Door", "}")]),
    ],
)
def test_definitions_end_with_the_line_that_closes_them(
    suffix: str, source: str, expected: list[tuple[int, str, str]]
) -> None:
    assert titles(source, suffix) == expected


def test_comments_above_a_definition_belong_to_it_and_the_rest_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "night.sh"
    path.write_text(SHELL, "utf-8")

    document = read(path)

    starts = [(heading.title, document.text[heading.start :].lstrip().split("\n")[0]) for heading in document.headings]
    assert starts == [
        ("night.sh", "#!/bin/sh"),
        ("prune()", "# Deletes old copies."),
        ("function report", "function report {"),
        ("night.sh", "prune"),
    ]


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("source", [RUBY, SHELL, SQL, LUA, PERL, R, POWERSHELL])
def test_every_cut_of_every_source_is_read_in_order(suffix: str, source: str) -> None:
    for end in range(0, len(source), 3):
        cut = source[:end]
        blocks = line_blocks(cut, suffix)
        assert all(0 <= block.start <= block.end <= len(cut) for block in blocks)
        assert [block.start for block in blocks] == sorted(block.start for block in blocks)
        headings = code_document(cut, f"a{suffix}", suffix).headings
        assert [heading.start for heading in headings] == sorted(heading.start for heading in headings)
