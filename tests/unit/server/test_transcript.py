"""What is kept of an answer for its record."""

import pytest

from gateway.ask import ClientKey
from gateway.records.policy import is_recorded
from gateway.server.transcript import Transcript


@pytest.mark.parametrize(
    ("limit", "pieces", "whole", "cut"),
    [
        (10, [b"one", b"two"], b"onetwo", False),
        (6, [b"one", b"two"], b"onetwo", False),
        (4, [b"one", b"two", b"three"], b"onet", True),
        (4, [b"x" * 1_000_000], b"xxxx", True),
        (0, [b"one", b"two"], b"", True),
        (0, [], b"", False),
    ],
)
def test_an_answer_is_kept_up_to_the_limit(limit: int, pieces: list[bytes], whole: bytes, cut: bool) -> None:
    transcript = Transcript(limit)
    for piece in pieces:
        transcript.add(piece)

    assert (transcript.whole(), transcript.cut) == (whole, cut)


@pytest.mark.parametrize(
    ("record", "default", "recorded"),
    [("", "full", True), ("none", "full", False), ("hashed", "none", True), ("", "none", False)],
)
def test_a_keys_own_policy_decides_over_the_default(record: str, default: str, recorded: bool) -> None:
    assert is_recorded(ClientKey("k", record=record), default) is recorded
