"""A trace says what was decided, and nothing that the client wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ask import Ask, ClientKey, Endpoint, Turn
from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome
from gateway.settings.records import Telemetry
from gateway.telemetry.traces import Traces, unquoted

SECRET = "sk-live-4242 is what I'd use"


def test_a_trace_has_the_decisions_and_not_the_clients_words(capsys: pytest.CaptureFixture[str]) -> None:
    exchange = Exchange("x1", Ask(Endpoint.CHAT, "m", b"", (Turn("user", SECRET),)), ClientKey("k"))
    noted = exchange.noted("rewrite", "kept", f"polish.en lost words: {SECRET[:60]!r}")
    traces = Traces(Telemetry(traces="console"))
    traces.add(noted, ExchangeOutcome("finished", 200, "b", "m", "application/json"), "")
    traces.close()
    said = capsys.readouterr().out
    assert '"foreword.decision": "kept"' in said and "polish.en lost words" in said
    assert "4242" not in said


@given(st.text(min_size=4))
def test_whatever_python_quotes_is_left_out(text: str) -> None:
    assert text not in unquoted(f"lost: {text[:60]!r}, {text!r}") or text in "lost: '…', '…'"


def test_what_is_not_quoted_stays() -> None:
    assert unquoted("the user's own words are 3 too many") == "the user's own words are 3 too many"
