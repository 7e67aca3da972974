import pytest

from gateway.filters import Comparison, Compound, Filter

ABOUT = {"year": 2026.0, "team": "legal", "public": True}


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (Comparison("year", "eq", 2026), True),
        (Comparison("year", "gte", 2027), False),
        (Comparison("year", "lt", 2027), True),
        (Comparison("year", "eq", "2026"), False),
        (Comparison("year", "gt", "2000"), False),
        (Comparison("team", "eq", "legal"), True),
        (Comparison("team", "ne", "legal"), False),
        (Comparison("team", "in", ("sales", "legal")), True),
        (Comparison("team", "nin", ("sales", "legal")), False),
        (Comparison("public", "eq", True), True),
        (Comparison("public", "eq", 1), False),
        (Comparison("none", "eq", "x"), False),
        (Comparison("none", "ne", "x"), True),
        (Comparison("none", "nin", ("x",)), True),
        (Comparison("none", "in", ("x",)), False),
        (Compound("and", (Comparison("year", "gt", 2000), Comparison("team", "eq", "legal"))), True),
        (Compound("and", (Comparison("year", "gt", 2000), Comparison("team", "eq", "sales"))), False),
        (Compound("or", (Comparison("year", "gt", 3000), Comparison("team", "eq", "legal"))), True),
        (Compound("or", ()), False),
    ],
)
def test_a_filter_holds_for_what_it_says(one: Filter, holds: bool) -> None:
    assert one.holds(ABOUT) is holds
