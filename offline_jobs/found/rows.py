"""Makes dataset rows from the requests of a found prompt.

A row has the values of the parts, and the whole request as a chat completion: history, tools, format and sampling.
Requests to `/v1/messages` and `/v1/responses` are translated as for a backend without them. A right answer comes from
feedback, or from a user who corrects the answer later in the same conversation. Secrets and personal data are removed
from the texts of the request.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint
from gateway.errors import RequestError
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.index import PromptIndex, PromptMatch, readable
from gateway.records.scrub import scrubbed
from gateway.wire.chat.decode import chat
from gateway.wire.messages.as_chat import chat_body as of_messages
from gateway.wire.messages.losses import Losses
from gateway.wire.responses.as_chat import chat_body as of_responses
from offline_jobs.datasets.judge_records import HALF, READABLE
from offline_jobs.datasets.recorded import JudgedExchange
from offline_jobs.datasets.rows import DatasetRow, What
from offline_jobs.found.traffic import is_answered

RIGHT = 0.99
PERSONAL = ("user", "metadata", "foreword", "safety_identifier", "prompt_cache_key")
TRANSFER = ("stream", "stream_options", "store")
"""Fields that say how the answer is transferred. Rows have neither these nor those that say who sent the request."""
CORRECTION = re.compile(r"\b(?:no|not|wrong|incorrect|should|actually|meant|instead|rather|sorry)\b", re.I)


def rows_of(
    seen: JudgedExchange, prompt: FoundPrompt, contract: AnswerContract | None, secrets: Counter[str]
) -> Iterator[DatasetRow]:
    """Yield the rows of one exchange: the request itself, and the earlier request that its user corrects."""
    record = seen.record
    if record.policy != READABLE or record.key != prompt.key or record.endpoint != prompt.endpoint or not record.raw:
        return
    body = _body(record.endpoint, record.raw)
    corrected = _correction(body, contract)
    if corrected is not None:
        earlier, answer, label = corrected
        yield from _row(seen, prompt, earlier, secrets, answer=answer, wanted=label, why="correction")
    if is_answered(seen):
        yield from _judged(seen, prompt, body, contract, secrets)


def _judged(
    seen: JudgedExchange,
    prompt: FoundPrompt,
    body: dict[str, Any],
    contract: AnswerContract | None,
    secrets: Counter[str],
) -> Iterator[DatasetRow]:
    answer = seen.record.answer
    opinion = next((one for one in reversed(seen.feedback) if one.answer or one.score is not None), None)
    if opinion is not None and opinion.answer:
        yield from _row(seen, prompt, body, secrets, answer.text, opinion.answer, "feedback")
    elif opinion is not None and opinion.score is not None and opinion.score >= RIGHT:
        yield from _row(seen, prompt, body, secrets, answer.text, answer.text, "feedback score")
    elif opinion is not None and opinion.score is not None:
        what = What.FAILURE if opinion.score < HALF else What.SUCCESS
        yield from _row(seen, prompt, body, secrets, answer.text, "", "feedback score", what)
    elif contract is not None and breach(contract, answer):
        yield from _row(seen, prompt, body, secrets, answer.text, "", "contract", What.FAILURE)
    else:
        yield from _row(seen, prompt, body, secrets, answer.text, "", "", What.UNSCORED)


def _row(
    seen: JudgedExchange,
    prompt: FoundPrompt,
    body: dict[str, Any],
    secrets: Counter[str],
    answer: str = "",
    wanted: str = "",
    why: str = "",
    what: What | None = None,
) -> Iterator[DatasetRow]:
    clean = {name: value for name, value in body.items() if name not in (*PERSONAL, *TRANSFER)}
    clean["messages"] = _scrubbed(body.get("messages"), secrets)
    request = msgspec.json.encode(clean).decode()
    match = matched(request, prompt)
    if match is None:
        return
    if what is None:
        what = What.SUCCESS if wanted == answer else What.FAILURE
    record = seen.record
    yield DatasetRow(
        query="\n".join(match.values),
        what=what,
        wanted=scrubbed(wanted, secrets),
        answer=scrubbed(answer, secrets),
        why=(why,) if why else (),
        template=prompt.id,
        version=match.version.number,
        model=record.upstream or record.model,
        exchange=record.id,
        time_s=record.time_s,
        parts=match.values,
        request=request,
    )


def matched(request: str, prompt: FoundPrompt) -> PromptMatch | None:
    """Return how the newest version of the prompt built a request. Returns None for another version, for a text that
    can be read in several ways, and for a request that is not readable.
    """
    ask = ask_of(request)
    texts = readable(ask.turns) if ask is not None else None
    if ask is None or texts is None:
        return None
    match = PromptIndex([prompt]).find(prompt.key, prompt.endpoint, ask.turns)
    if match is None or match.version.number != prompt.newest.number or match.is_ambiguous(*texts):
        return None
    return match


def ask_of(request: str) -> Ask | None:
    """Read a recorded request as the gateway would. Returns None if it cannot be read."""
    try:
        return chat(request.encode(), {})
    except RequestError:
        return None


def _body(endpoint: str, raw: bytes) -> dict[str, Any]:
    """Return a recorded request as the body of a chat completion, or {} if it cannot be one: a conversation that the
    backend stores, or a field that chat completions lack.
    """
    try:
        body = msgspec.json.decode(_chat(endpoint, raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RequestError):
        return {}
    return body if isinstance(body, dict) else {}


def _chat(endpoint: str, raw: bytes) -> bytes:
    if endpoint == Endpoint.MESSAGES.value:
        return of_messages(raw, Losses(), room_tokens=msgspec.json.decode(raw, type=_Longest).max_tokens).body
    if endpoint == Endpoint.RESPONSES.value:
        fields = msgspec.json.decode(of_responses(raw), type=dict[str, Any])
        longest = msgspec.json.decode(raw, type=_Longest).max_output_tokens
        # chat completions have another name for it
        return msgspec.json.encode({**fields, **({"max_tokens": longest} if longest else {})})
    return raw


class _Longest(Struct):
    max_output_tokens: int | None = None
    max_tokens: int = 0


def _scrubbed(value: Any, secrets: Counter[str]) -> Any:
    """Remove secrets from all texts of the messages, also from texts in tool calls and their results."""
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, list):
        return [_scrubbed(each, secrets) for each in value]
    if isinstance(value, dict):
        return {name: _scrubbed(each, secrets) for name, each in value.items()}
    return value


def _correction(body: dict[str, Any], contract: AnswerContract | None) -> tuple[dict[str, Any], str, str] | None:
    """Return the request that a user corrects with the last message, the answer that was wrong, and the right label.

    Only a message with a word of correction that names exactly one label, and not the one that was answered, counts.
    """
    messages = body.get("messages")
    if contract is None or not contract.labels or not isinstance(messages, list) or len(messages) < 3:
        return None
    *before, answer, reply = messages
    said, corrected = (one.get("content") if isinstance(one, dict) else None for one in (answer, reply))
    if not isinstance(said, str) or not isinstance(corrected, str) or answer.get("role") != "assistant":
        return None
    named = [label for label in contract.labels if re.search(rf"(?<!\w){re.escape(label)}(?!\w)", corrected, re.I)]
    others = [label for label in named if label.casefold() != said.strip().casefold()]
    if len(others) != 1 or not CORRECTION.search(corrected):
        return None
    return {**body, "messages": before}, said, others[0]


def with_answer(row: DatasetRow, wanted: str, why: str) -> DatasetRow:
    """Return a row whose right answer is known from elsewhere."""
    return replace(row, wanted=wanted, why=(why,), what=What.SUCCESS if wanted == row.answer else What.FAILURE)
