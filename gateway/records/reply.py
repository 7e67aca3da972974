"""What a reply said, read from its bytes by an injected reader, whatever a backend put into them."""

import logging

from msgspec.structs import replace

from gateway.ports import Answer
from gateway.records.schema import ReadAnswer

log = logging.getLogger("foreword.records")

MOST_TOKENS = 2**31 - 1


def answer_in(read_answer: ReadAnswer, body: bytes, content_type: str, content_encoding: str) -> Answer:
    """Always an answer, and one that can be stored: a reply that could not be would stop all after it."""
    if not body:
        return Answer()
    # The reader is given bytes from outside; whatever it trips over, the rest of the record is worth keeping.
    try:
        answer = read_answer(body, content_type, content_encoding)
    except Exception:
        log.exception("a reply could not be read")
        return Answer()
    return replace(
        answer, prompt_tokens=_tokens(answer.prompt_tokens), completion_tokens=_tokens(answer.completion_tokens)
    )


def _tokens(reported: int) -> int:
    return reported if 0 <= reported <= MOST_TOKENS else -1
