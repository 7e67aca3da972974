"""Converts the bytes of a reply to an answer. The bytes may be anything. The caller passes the function that reads
them."""

import logging

from msgspec.structs import replace

from gateway.ports import Answer
from gateway.records.schema import ReadAnswer

log = logging.getLogger("foreword.records")

MOST_TOKENS = 2**31 - 1


def answer_in(read_answer: ReadAnswer, body: bytes, content_type: str, content_encoding: str) -> Answer:
    """Return the answer in a reply, with token counts that the database can store.

    The answer is empty if the reply is empty or cannot be read.
    """
    if not body:
        return Answer()
    # the bytes come from outside; if the reader fails, the rest of the record can still be stored
    try:
        answer = read_answer(body, content_type, content_encoding)
    except Exception:
        log.exception("a reply could not be read")
        return Answer()
    return replace(
        answer,
        prompt_tokens=_tokens(answer.prompt_tokens),
        completion_tokens=_tokens(answer.completion_tokens),
        cached_tokens=_tokens(answer.cached_tokens),
        reasoning_tokens=_tokens(answer.reasoning_tokens),
    )


def _tokens(reported: int) -> int:
    return reported if 0 <= reported <= MOST_TOKENS else -1
