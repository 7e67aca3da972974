"""Models in Anthropic's form, whatever a backend says about them."""

import json

import pytest

from gateway.wire.messages.models import as_anthropic

LONG_AGO = "1970-01-01T00:00:00Z"


def created_at(created: object) -> str:
    body = json.dumps({"object": "list", "data": [{"id": "m", "object": "model", "created": created}]})
    return str(json.loads(as_anthropic(body.encode()))["data"][0]["created_at"])


def test_a_model_has_the_date_at_which_it_was_made() -> None:
    assert created_at(1_700_000_000) == created_at(1_700_000_000.0) == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("created", [None, "2024-01-01", 1_700_000_000_000, 1e300, -1e15, [], {}])
def test_a_date_that_is_none_does_not_hide_the_models(created: object) -> None:
    assert created_at(created) == LONG_AGO


@pytest.mark.parametrize("body", [b'{"object":"list","data":null}', b'{"object":"list"}'])
def test_a_list_without_models_is_passed_on(body: bytes) -> None:
    assert as_anthropic(body) == body


def test_models_without_a_name_are_listed_too() -> None:
    assert json.loads(as_anthropic(b'{"object":"list","data":[{}]}'))["first_id"] is None
