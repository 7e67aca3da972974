"""Reads the keys for techniques: first calls, reasoning, samples, checks and further rounds."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct

from gateway.prompt.templates.fields import Check, FirstCall, Iterate, ReasoningRule, Samples
from gateway.prompt.templates.frontmatter import FrontMatterHead, suggest
from gateway.prompt.templates.patterns import NotBounded, Pattern

MOST_SAMPLES = 16
MOST_ROUNDS = 8
MOST_CALLS = 4
NAME = re.compile(r"[a-z][a-z0-9_]*")


class _SamplesFront(Struct, frozen=True):
    n: int
    temperature: float = 0.7
    answer: str = ""


class _CheckFront(Struct, frozen=True):
    json_schema: str = ""
    regex: str = ""
    min_words: int = 0
    max_words: int = 0
    max_chars: int = 0
    language: str = ""
    contains: str = ""
    not_contains: str = ""
    judge: str = ""
    passes: str = "yes"
    model: str = ""


def read_calls(head: FrontMatterHead, calls: Mapping[str, Any], taken: Collection[str]) -> Mapping[str, FirstCall]:
    """Read `calls:`. Raises `TemplateError`."""
    if len(calls) > MOST_CALLS:
        raise head.error(f"at most {MOST_CALLS} calls may come before the answer", "calls")
    for name in calls:
        if not NAME.fullmatch(name) or name in taken:
            raise head.error(
                f"{name!r} cannot be a call's name; such a name is lower-case and not the name of a slot", "calls", name
            )
    steps = {name: head.decode(value or {}, FirstCall, "calls", name) for name, value in calls.items()}
    for name, call in steps.items():
        if call.max_tokens < 1 or call.timeout_s <= 0:
            raise head.error("a call has a budget: `max_tokens` and `timeout_s` are above 0", "calls", name)
    return steps


def read_reasoning(head: FrontMatterHead, reasoning: ReasoningRule) -> ReasoningRule:
    """Read `reasoning:`. Raises `TemplateError`."""
    if reasoning.mode not in ("keep", "split"):
        raise head.error("`mode` is `keep` or `split`", "reasoning", "mode")
    if reasoning.mode == "split" and not reasoning.marker.strip():
        raise head.error('to split, say what the answer\'s line begins with: `marker: "Answer:"`', "reasoning")
    return reasoning


def read_samples(head: FrontMatterHead, samples: Any) -> Samples | None:
    """Read `samples:`. Raises `TemplateError`."""
    if samples is None:
        return None
    front = head.decode({"n": samples} if isinstance(samples, str) else samples, _SamplesFront, "samples")
    if not 2 <= front.n <= MOST_SAMPLES:
        raise head.error(f"`n` is between 2 and {MOST_SAMPLES}", "samples", "n")
    if front.temperature <= 0:
        raise head.error("at temperature 0 all samples are the same", "samples", "temperature")
    return Samples(front.n, front.temperature, _regex(head, front.answer, "samples", "answer"))


def read_checks(head: FrontMatterHead, checks: list[Any]) -> tuple[Check, ...]:
    """Read `checks:`. Raises `TemplateError`."""
    read = []
    for index, item in enumerate(checks):
        front = head.decode(item, _CheckFront, "checks", index)
        if front == _CheckFront(passes=front.passes, model=front.model):
            kinds = [name for name in _CheckFront.__struct_fields__ if name not in ("passes", "model")]
            raise head.error(f"a check demands something: {', '.join(kinds)}", "checks", index)
        fields = {name: getattr(front, name) for name in front.__struct_fields__}
        fields["json_schema"] = _json_schema(head, front.json_schema, "checks", index, "json_schema")
        fields["regex"] = _regex(head, front.regex, "checks", index, "regex")
        read.append(Check(**fields))
    return tuple(read)


def read_iterate(head: FrontMatterHead, iterate: Iterate | None, checks: Collection[Any]) -> Iterate | None:
    """Read `iterate:`. Raises `TemplateError`."""
    if iterate is None:
        return None
    if not 1 <= iterate.rounds <= MOST_ROUNDS:
        raise head.error(f"`rounds` is between 1 and {MOST_ROUNDS}", "iterate", "rounds")
    if not checks:
        raise head.error("without `checks:` no answer fails, so there is nothing to iterate on", "iterate")
    return iterate


def _regex(head: FrontMatterHead, pattern: str, *path: str | int) -> Pattern | None:
    if not pattern:
        return None
    try:
        return Pattern(pattern)
    except NotBounded as error:
        raise head.error(str(error), *path) from error


def _json_schema(head: FrontMatterHead, text: str, *path: str | int) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise head.error(f"the schema is written as JSON text, after `json_schema: |`: {error}", *path) from error
    if not isinstance(schema, dict):
        raise head.error(f"a JSON schema is an object; {suggest('type', ['type', 'properties'])}", *path)
    return schema
