import pytest

from gateway.ask import ClientKey
from gateway.records.feedback import visible
from gateway.records.schema import ExchangeRecord


@pytest.mark.parametrize(
    ("key", "sees"), [(ClientKey("app"), True), (ClientKey("other"), False), (ClientKey("other", admin=True), True)]
)
def test_a_key_sees_its_own_exchanges_and_an_admin_all(key: ClientKey, sees: bool) -> None:
    assert visible(ExchangeRecord("ex-1", key="app"), key) is sees
