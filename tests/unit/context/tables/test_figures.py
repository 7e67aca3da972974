"""What is counted and added up by code is exact, or is not told."""

import csv
import io
import random
from decimal import Decimal

import pytest

from gateway.context.tables.figures import figures_of, items_in, number_in, tables_in

REGIONS = ("North", "South", "East", "West")


def table(draw: random.Random, form: str) -> tuple[str, list[tuple[str, str, Decimal, int]]]:
    """A table of random size in one of several forms, and its rows."""
    rows = [
        (f"item {n}", draw.choice(REGIONS), Decimal(draw.randrange(-5000, 200000)) / 100, draw.randrange(1000))
        for n in range(draw.randrange(4, 300))
    ]
    names = ("name", "region", "amount", "units")
    cells = [
        (name, region, f"{amount:,.2f}" if form == "pipe" else f"{amount}", str(units))
        for name, region, amount, units in rows
    ]
    if form == "pipe":
        lines = ["| " + " | ".join(row) + " |" for row in (names, ("---",) * 4, *cells)]
        return "\n".join(lines), rows
    file = io.StringIO()
    csv.writer(file, delimiter={"comma": ",", "tab": "\t", "semicolon": ";"}[form], lineterminator="\n").writerows(
        [names, *cells]
    )
    return file.getvalue().strip(), rows


@pytest.mark.parametrize("seed", range(30))
def test_counts_sums_averages_and_groups_of_thirty_tables_are_exact(seed: int) -> None:
    draw = random.Random(seed)
    text, rows = table(draw, ("comma", "tab", "semicolon", "pipe")[seed % 4])
    (found,) = tables_in(f"Here are the sales.\n\n{text}\n\nThat was all.")
    lines = figures_of(found, "What is the total amount per region?")
    assert lines[0] == f"rows: {len(rows)}; columns: name, region, amount, units"
    for column, name in ((2, "amount"), (3, "units")):
        values = [Decimal(row[column]) for row in rows]
        (line,) = [line for line in lines if line.startswith(f"{name}:")]
        parts = dict(part.strip().split(" ", 1) for part in line.split(";")[1:3])
        assert Decimal(parts["sum"]) == sum(values)
        assert abs(Decimal(parts["average"]) - sum(values) / len(values)) < Decimal("0.001")
        assert f"highest: {max(values)}" in line
    (groups,) = [line for line in lines if line.startswith("region:")]
    (sums,) = [line for line in lines if line.startswith("sum of amount by region:")]
    for region in {row[1] for row in rows}:
        own = [row[2] for row in rows if row[1] == region]
        assert f"{region} {len(own)}" in groups
        assert f"{region} {sum(own)}" in sums


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1,234.50", "1234.50"),
        ("€ 12", "12"),
        ("-3.5", "-3.5"),
        ("$1,000,000", "1000000"),
        ("12 kg", "12"),
        ("85%", "85"),
    ],
)
def test_a_number_may_have_a_sign_a_currency_and_thousands(cell: str, number: str) -> None:
    assert number_in(cell) == Decimal(number)


@pytest.mark.parametrize("cell", ["", "12,5", "1.234,50", "n/a", "3 or 4", "2021-07-03", "item 7", "7 of 9"])
def test_what_may_mean_two_things_is_no_number(cell: str) -> None:
    assert number_in(cell) is None


def test_a_column_with_one_doubtful_cell_has_no_sum() -> None:
    (found,) = tables_in("name,amount\na,10\nb,about 20\nc,30\n")
    assert not any("sum" in line for line in figures_of(found, "What is the total amount?"))


@pytest.mark.parametrize(
    "text",
    [
        "He came, saw, and won.\nShe stayed, ate, and slept.\nThey left, ran, and fell.",
        "a,b\n1,2\n3,4,5\n6,7",
        "a,a\n1,2\n3,4\n5,6",
    ],
)
def test_what_is_no_table_is_not_read_as_one(text: str) -> None:
    assert not [found for found in tables_in(text) if any("sum" in line for line in figures_of(found, "total"))]


def test_list_items_are_counted() -> None:
    assert items_in("Shopping:\n- milk\n- bread\n* eggs\n1. call Anna\n2) write\nThe end.") == 5
