import pytest

from gateway.cli.listing import print_rows


def test_no_cell_is_cut_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")

    print_rows(("name", "count"), [("a-name-of-more-than-twenty-letters", 7), ("b", 12)], right=("count",))

    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "count"],
        ["a-name-of-more-than-twenty-letters", "7"],
        ["b", "12"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_a_cell_is_never_markup_and_sends_the_terminal_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(("name",), [("[bold]x[/] \x1b[31mred",)])

    assert "[bold]x[/] \ufffd[31mred" in capsys.readouterr().out
