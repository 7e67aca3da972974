"""What is wrong with a body that is no JSON is said with its remedy."""

import pytest

from gateway.errors import BadRequest
from gateway.wire.chat import decode

MESSAGE = b'{"model":"m","messages":[{"role":"user","content":"%s"}]}'


@pytest.mark.parametrize(
    "text",
    [rb"\ud83d", rb"a\ud83d b", rb"\ude00", rb"\ud83d\ud83d\ude00", rb"\\\ud83d", b"\xed\xa0\xbd"],
)
def test_half_of_a_surrogate_pair_is_named(text: bytes) -> None:
    with pytest.raises(BadRequest, match="half of a surrogate pair") as refused:
        decode.chat(MESSAGE % text, {})
    assert refused.value.code == "invalid_json"


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud83d", "😀".encode(), rb"\uD83D\uDE00"])
def test_whole_pairs_are_read(text: bytes) -> None:
    assert decode.chat(MESSAGE % text, {}).turns[0].role == "user"


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"not json"])
def test_other_mistakes_are_not_called_so(raw: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        decode.chat(raw, {})
    assert "surrogate" not in refused.value.message
