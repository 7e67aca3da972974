"""Learns an answer contract from recorded answers. Each claim needs evidence (`settled.py`); few answers settle
nothing.
"""

import json
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.ports import Answer, ToolCall
from gateway.prompt.found.contract import FENCE, AnswerContract, JsonSchema, breach
from gateway.prompt.found.contract_file import digest
from gateway.prompt.language.detect import any_language
from gateway.records.scrub import scrubbed
from offline_jobs.found.json_shape import LONGEST_LABEL, schema_of
from offline_jobs.found.settled import OFTEN, SETTLED, alternatives, is_formed, is_settled
from offline_jobs.found.text_form import pattern_of

OTHERS = 10
"""A language is claimed if at least this many requests in other languages were answered in it. Otherwise, the answers
may follow the language of the request."""
SLACK = 1.25
"""The claimed length is the longest answer times this."""
LONGEST_CLAIM = 4000
COMMON = 0.02
"""A label that occurs in a smaller share of the answers does not decide whether the set is complete."""
_BROKEN = object()


class SeenAnswer(Struct, frozen=True):
    """An answer that counts as evidence. `request` is what the user filled in. `is_given` marks a right answer that a
    person has given in feedback, in place of what the model said.
    """

    answer: Answer
    request: str = ""
    is_given: bool = False
    is_confirmed: bool = False
    """Whether feedback gave the answer a full score."""


def contract_of(seen: Sequence[SeenAnswer], fixed_text: str = "") -> AnswerContract:
    """Return the contract that the answers settle. `seen` is in the order of time. `fixed_text` is the fixed text of
    the prompt, which may list the labels.
    """
    right = [one for one in seen if one.is_given or one.is_confirmed]
    said = [one for one in seen if not one.is_given]
    contract, evidence = _claims(said, fixed_text), said
    if len(right) >= SETTLED:
        given = _claims(right, fixed_text)
        # people give a value, such as a label, although the application parses a form around it
        is_wrapped = (contract.json_schema is not None and given.json_schema is None) or bool(contract.calls)
        contract, evidence = (contract, said) if is_wrapped else (given, right)
    if contract.is_empty:
        return AnswerContract()
    kept = sum(not breach(contract, one.answer) for one in said) / len(said) if said else 1.0
    contract = replace(contract, answers=len(evidence), keeps=round(kept, 4))
    return replace(contract, learned=digest(contract))


def _claims(seen: Sequence[SeenAnswer], fixed_text: str) -> AnswerContract:
    calling = [bool(one.answer.calls) for one in seen]
    contract = AnswerContract(calls="always") if is_formed(calling) else AnswerContract()
    contract = replace(contract, tools=_tools([call for one in seen for call in one.answer.calls]))
    texts = [one for one in seen if one.answer.text.strip() and not (one.answer.calls and contract.calls)]
    if len(texts) < SETTLED:
        return contract
    bare = [one.answer.text.strip() for one in texts]
    return (
        _json_claims(contract, bare)
        or _label_claims(contract, bare, fixed_text)
        or _text_claims(contract, bare, [one.request for one in texts])
    )


def _tools(calls: Sequence[ToolCall]) -> dict[str, JsonSchema]:
    names = alternatives([call.name for call in calls])
    return {name: _arguments([call for call in calls if call.name == name]) for name in sorted(names) if name}


def _arguments(calls: Sequence[ToolCall]) -> JsonSchema:
    values = [value for call in calls if (value := parsed(call.arguments or "{}")) is not _BROKEN]
    return schema_of(values)


def parsed(text: str) -> Any:
    """Return the JSON in a text, or `_BROKEN`. JSON with a lone surrogate, which no file may hold, is broken too."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return _BROKEN
    return value


def _json_claims(contract: AnswerContract, texts: Sequence[str]) -> AnswerContract | None:
    fences = [FENCE.fullmatch(text) for text in texts]
    values = [parsed(match[1] if match else text) for match, text in zip(fences, texts, strict=True)]
    # a bare number or word is JSON too, but says nothing about how it is read
    formed = [isinstance(value, dict | list) for value in values]
    if not is_formed(formed):
        return None
    fenced = [match is not None for match, is_json in zip(fences, formed, strict=True) if is_json]
    settled = "always" if is_settled(fenced) else "never" if is_settled([not one for one in fenced]) else ""
    schema = schema_of([value for value, is_json in zip(values, formed, strict=True) if is_json])
    return replace(contract, json_schema=schema, fence=settled)


def _label_claims(contract: AnswerContract, texts: Sequence[str], fixed_text: str) -> AnswerContract | None:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    common = {text for text, count in counts.items() if count >= max(2, COMMON * len(texts))}
    labels = alternatives([text for text in texts if text in common])
    if len(labels) < 2 or not is_formed([text in common for text in texts]) or not all(map(_is_label, labels)):
        return None
    # claiming too many labels does no harm: those that occur seldom, and those that the prompt itself lists
    words = max(len(label.split()) for label in labels)
    seldom = {
        text
        for text, count in counts.items()
        if _is_label(text) and ((count > 1 and len(text.split()) <= words) or (len(text) > 1 and text in fixed_text))
    }
    return replace(contract, labels=tuple(sorted({*labels, *seldom})))


def _is_label(text: str) -> bool:
    return len(text) <= LONGEST_LABEL and "\n" not in text and scrubbed(text) == text


def _text_claims(contract: AnswerContract, texts: Sequence[str], requests: Sequence[str]) -> AnswerContract:
    return replace(contract, pattern=pattern_of(texts), longest=_longest(texts), language=_language(texts, requests))


def _longest(texts: Sequence[str]) -> int:
    """Return a maximum length if the longest answer is not among the last ones."""
    lengths = [len(text) for text in texts]
    if len(lengths) < OFTEN * SETTLED or max(lengths) > LONGEST_CLAIM:
        return 0
    return int(SLACK * max(lengths)) + 1 if max(lengths[-SETTLED:]) <= max(lengths[:-SETTLED]) else 0


def _language(texts: Sequence[str], requests: Sequence[str]) -> str:
    said = [(any_language(text), any_language(request)) for text, request in zip(texts, requests, strict=True)]
    known = [pair for pair in said if pair[0]]
    if not known:
        return ""
    language = max({pair[0] for pair in known}, key=[pair[0] for pair in known].count)
    if not is_formed([pair[0] == language for pair in known]):
        return ""
    others = [own for own, asked in known if asked not in ("", language)]
    return language if len(others) >= OTHERS and others.count(language) >= 0.9 * len(others) else ""
