"""Streams that end with an error."""

from typing import Any

import pytest

from gateway.ask import Endpoint
from gateway.backends.judged import JudgedStream
from gateway.errors import BackendFailed, RequestError, StreamFailed
from tests.doubles.scripted_answer import ScriptedAnswer

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FAULT = b'data: {"error":{"message":"out of memory"}}'


def failure(error: Exception, what: str, code: str | None = None) -> RequestError:
    return BackendFailed(what, code=code)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
async def test_an_error_at_the_very_end_is_passed_on_as_a_whole_event(marked: bool, end: bytes) -> None:
    answer: Any = ScriptedAnswer([CHUNK, FAULT + end])
    stream = JudgedStream(b"", answer, Endpoint.CHAT, failure, marked=marked)
    passed: list[bytes] = []

    with pytest.raises(StreamFailed, match="out of memory"):
        while True:
            passed.append(await anext(stream))
    body = b"".join(passed)
    assert body.startswith(CHUNK + FAULT)
    assert body.endswith(b"\n\n")
    assert all(passed)
