import pytest

from gateway.filters import AttributeComparison, Compound, Filter

ABOUT = {"year": 2026.0, "team": "legal", "public": True}


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (AttributeComparison("year", "eq", 2026), True),
        (AttributeComparison("year", "gte", 2027), False),
        (AttributeComparison("year", "lt", 2027), True),
        (AttributeComparison("year", "eq", "2026"), False),
        (AttributeComparison("year", "gt", "2000"), False),
        (AttributeComparison("team", "eq", "legal"), True),
        (AttributeComparison("team", "ne", "legal"), False),
        (AttributeComparison("team", "in", ("sales", "legal")), True),
        (AttributeComparison("team", "nin", ("sales", "legal")), False),
        (AttributeComparison("public", "eq", True), True),
        (AttributeComparison("public", "eq", 1), False),
        (AttributeComparison("none", "eq", "x"), False),
        (AttributeComparison("none", "ne", "x"), True),
        (AttributeComparison("none", "nin", ("x",)), True),
        (AttributeComparison("none", "in", ("x",)), False),
        (Compound("and", (AttributeComparison("year", "gt", 2000), AttributeComparison("team", "eq", "legal"))), True),
        (Compound("and", (AttributeComparison("year", "gt", 2000), AttributeComparison("team", "eq", "sales"))), False),
        (Compound("or", (AttributeComparison("year", "gt", 3000), AttributeComparison("team", "eq", "legal"))), True),
        (Compound("or", ()), False),
    ],
)
def test_a_filter_holds_for_what_it_says(one: Filter, holds: bool) -> None:
    assert one.holds(ABOUT) is holds
