"""Secrets and personal data go; what only looks like them stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.records.scrub import scrubbed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to a.b+c@mail.example.co.uk!", "write to <email>!"),
        ("card 4111 1111 1111 1111 please", "card <card> please"),
        ("DE89 3704 0044 0532 0130 00", "<iban>"),
        ("ssn 078-05-1120", "ssn <social security number>"),
        ("call (212) 555-0173 or 212.555.0173", "call <phone> or <phone>"),
        ("手机13812345678", "手机<phone>"),
        ("身份证11010519491231002X", "身份证<id number>"),
        ("from 192.168.0.12.", "from <ip address>."),
        ("我的邮箱是jane@example.org谢谢", "我的邮箱是<email>谢谢"),
        ("password: hunter22 is mine", "password<password> is mine"),
        ("密码是abc12345", "密码<password>"),
        ("Authorization: Bearer abcdefghijklmnop123", "Authorization: Bearer <bearer>"),
        ("AKIAIOSFODNN7EXAMPLE", "<api key>"),
        ("ghp_0123456789abcdefghij0123456789abcdef", "<api key>"),
        ("postgres://user:pass@host/db", "<url with password>"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w", "<token>"),
    ],
)
def test_it_goes(text: str, left: str) -> None:
    assert scrubbed(text) == left


def test_a_private_key_goes_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"
    assert scrubbed(f"here: {key} thanks") == "here: <private key> thanks"


@pytest.mark.parametrize(
    "text",
    [
        "order 4111 1111 1111 1112",  # no card: the check digit is wrong
        "version 1.2.3.4567",
        "the sum of 1234567 and 89",
        "2026-11-24T03:00",
        "I forgot which secret I had",
        "pi is 3.14159265358979",
        "a @mention and an email without one",
        "GB is a country",
    ],
)
def test_it_stays(text: str) -> None:
    assert scrubbed(text) == text


@given(st.text(max_size=300))
def test_scrubbing_twice_changes_nothing_more(text: str) -> None:
    once = scrubbed(text)
    assert scrubbed(once) == once
