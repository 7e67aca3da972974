import json

import pytest

from gateway.errors import BadRequest
from gateway.filters import AttributeComparison, Compound
from gateway.wire.chat import decode
from gateway.wire.stores.filters import filter_of

YEAR = {"key": "year", "type": "gte", "value": 2026}
TEAM = {"key": "team", "type": "in", "value": ["legal", "hr"]}


def test_filters_are_read_at_any_depth() -> None:
    found = filter_of({"type": "and", "filters": [YEAR, {"type": "or", "filters": [TEAM]}]})

    team = AttributeComparison("team", "in", ("legal", "hr"))
    assert found == Compound("and", (AttributeComparison("year", "gte", 2026), Compound("or", (team,))))
    assert filter_of(None) is None


def deep(levels: int) -> object:
    return YEAR if levels == 0 else {"type": "and", "filters": [deep(levels - 1)]}


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"key": "year", "type": "like", "value": 1}, "filters.type"),
        ({"key": "year", "type": "eq"}, "filters.value"),
        ({"value": 1, "type": "eq"}, "filters.key"),
        ({"key": "year", "type": "eq", "value": {"a": 1}}, "filters.value"),
        ({"key": "year", "type": "eq", "value": [2025, 2026]}, "filters.value"),
        ({"type": "and", "filters": []}, "filters"),
        ({"type": "and", "filters": [YEAR, "x"]}, "filters.filters[1]"),
        ("x", "filters"),
        (deep(9), "filters" + ".filters[0]" * 8),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(given: object, param: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        filter_of(given)
    assert refusal.value.param == param


def test_a_request_can_filter_its_collections() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "foreword": {"collections": ["handbook"], "filters": YEAR},
    }

    ask = decode.chat(json.dumps(body).encode(), {})

    assert ask.controls.filters == AttributeComparison("year", "gte", 2026)
