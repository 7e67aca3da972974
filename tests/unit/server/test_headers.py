"""Decisions in headers: one line of ASCII from which every character can be read again."""

from urllib.parse import unquote

import pytest

from gateway.ask import Ask, Endpoint
from gateway.exchange import Exchange
from gateway.ports import Reply
from gateway.server.headers import decisions


def header(reason: str) -> str:
    exchange = Exchange("fw-1", Ask(Endpoint.CHAT, "m", b"")).noted("classify", "unknown", reason)
    return dict(decisions(exchange, Reply(200, ())))[b"x-foreword-classify"].decode("ascii")


def test_an_ellipsis_is_three_full_stops() -> None:
    assert header("issued 4 Mar…") == "unknown; issued 4 Mar..."


@pytest.mark.parametrize("reason", ["请翻译", "Grüße an Ædda", "مرحبا 100%"])
def test_other_characters_are_percent_encoded(reason: str) -> None:
    assert "?" not in header(reason)
    assert unquote(header(reason)) == f"unknown; {reason}"


def test_a_line_break_is_a_blank() -> None:
    assert header("two\r\nlines") == "unknown; two lines"
