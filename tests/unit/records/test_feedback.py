import pytest

from gateway.exchange import Key
from gateway.records.feedback import visible
from gateway.records.schema import ExchangeRecord


@pytest.mark.parametrize(("key", "sees"), [(Key("app"), True), (Key("other"), False), (Key("other", admin=True), True)])
def test_a_key_sees_its_own_exchanges_and_an_admin_all(key: Key, sees: bool) -> None:
    assert visible(ExchangeRecord("ex-1", key="app"), key) is sees
