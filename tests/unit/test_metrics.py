"""Exchanges are counted in lots, and none is missing when somebody looks."""

import pytest

from gateway.ask import Ask, Endpoint
from gateway.exchange import Exchange
from gateway.ports import Answer, ExchangeOutcome
from gateway.telemetry.metrics import MOST_HELD, Metrics

ASKED = Exchange("x", Ask(Endpoint.CHAT, "m", b"{}", stream=True)).noted("rewrite", "rewritten")
DONE = ExchangeOutcome("finished", 200, first_byte_us=2_000, total_us=30_000)


@pytest.mark.parametrize("count", [1, MOST_HELD - 1, MOST_HELD, 2 * MOST_HELD + 3])
def test_the_page_has_every_exchange_that_ended_so_far(count: int) -> None:
    metrics = Metrics()
    for _ in range(count):
        metrics.count(ASKED, DONE)

    page = metrics.page().decode()

    assert f'foreword_requests_total{{ending="finished",endpoint="chat/completions",status="200"}} {count}.0' in page
    assert f'foreword_decisions_total{{decision="rewritten",stage="rewrite"}} {count}.0' in page
    assert f'foreword_request_seconds_count{{endpoint="chat/completions"}} {count}.0' in page
    assert f'foreword_first_byte_seconds_bucket{{endpoint="chat/completions",le="0.002"}} {count}.0' in page


def test_looking_twice_counts_once() -> None:
    metrics = Metrics()
    metrics.count(ASKED, DONE)

    assert metrics.page() == metrics.page()


def test_tokens_are_counted_where_a_backend_told_them() -> None:
    metrics = Metrics()
    read = metrics.counting_tokens(lambda *_: Answer(prompt_tokens=9, completion_tokens=5, cached_tokens=8))

    assert read(b"", "", "").prompt_tokens == 9
    read(b"", "", "")

    page = metrics.page().decode()
    assert 'foreword_tokens_total{kind="prompt"} 18.0' in page
    assert 'foreword_tokens_total{kind="cached"} 16.0' in page
    assert 'foreword_tokens_total{kind="reasoning"} 0.0' in page
