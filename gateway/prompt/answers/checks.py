"""Checks an answer against the `checks:` of a template. Each failure is described in one sentence."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.prompt.language.detect import language_of
from gateway.prompt.templates.fields import Check

_FENCED = re.compile(r"^\s*```[\w-]*\n(.*?)\n?```\s*$", re.DOTALL)
SHOWN = 200


def failures(answer: str, checks: Sequence[Check]) -> tuple[str, ...]:
    """Return one sentence for each check that the answer fails. Checks that need a judge are skipped."""
    return tuple(what for check in checks for what in _failures(answer, check))


def _failures(answer: str, check: Check) -> Iterator[str]:
    words = len(answer.split())
    if check.json_schema is not None:
        yield from _against_schema(answer, check.json_schema)
    if check.regex is not None and not check.regex.search(answer):
        yield f"It does not match the pattern {check.regex.pattern}"
    if check.min_words and words < check.min_words:
        yield f"It has {words} words; at least {check.min_words} are wanted"
    if check.max_words and words > check.max_words:
        yield f"It has {words} words; at most {check.max_words} are wanted"
    if check.max_chars and len(answer) > check.max_chars:
        yield f"It has {len(answer)} characters; at most {check.max_chars} are wanted"
    if check.language and language_of(answer) not in ("", check.language):
        yield f"It is in the language {language_of(answer)!r}; {check.language!r} is wanted"
    if check.contains and check.contains.casefold() not in answer.casefold():
        yield f"It does not contain {check.contains!r}"
    if check.not_contains and check.not_contains.casefold() in answer.casefold():
        yield f"It contains {check.not_contains!r}"


def _against_schema(answer: str, schema: Any) -> Iterator[str]:
    # imported here, since jsonschema adds 0.1 s to the start and few templates need it
    from jsonschema import exceptions, validators

    fenced = _FENCED.match(answer)
    try:
        value = json.loads(fenced[1] if fenced else answer)
    except ValueError as error:
        yield f"It is not JSON: {error}"
        return
    validator = validators.validator_for(schema)(schema)
    best = exceptions.best_match(validator.iter_errors(value))
    if best is not None:
        yield f"At {best.json_path} its JSON does not match the schema: {best.message[:SHOWN]}"
