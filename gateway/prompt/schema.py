"""The head of a template file as typed values: which keys there are, and what each may hold."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from gateway.prompt.fields import (
    ID,
    SCHEMA,
    Case,
    Expect,
    IntentSpec,
    Iterate,
    Language,
    Models,
    Optimise,
    Output,
    Pool,
    Provenance,
    Reasoning,
    Shot,
    Slot,
    Source,
    Status,
    Technique,
)
from gateway.prompt.frontmatter import Head, suggest
from gateway.prompt.steps import read_calls, read_checks, read_iterate, read_reasoning, read_samples

RESERVED = ("query", "examples", "labels", "loop", "answer", "failures")


class _Front(Struct, frozen=True):
    """The keys as written. What needs more than a type is decoded by hand below."""

    schema: int
    id: str
    version: int
    intent: IntentSpec
    status: Status = Status.DRAFT
    language: Language = Language.EN
    technique: Technique = Technique.DIRECT
    description: str = ""
    family: str = ""
    slots: dict[str, Any] = {}
    examples: Any = ()
    calls: dict[str, Any] = {}
    reasoning: Reasoning = Reasoning()
    samples: Any = None
    checks: list[Any] = []
    iterate: Iterate | None = None
    output: Output = Output()
    models: Models = Models()
    optimise: Optimise = Optimise()
    tests: tuple[Case, ...] = ()
    provenance: Provenance = Provenance()


class _SlotFront(Struct, frozen=True):
    sources: str | tuple[str, ...] = field(default="", name="from")
    required: bool = False
    default: str = ""
    max_chars: int = 0
    pattern: str = ""
    values: tuple[str, ...] | dict[str, tuple[str, ...]] = ()


def read_head(head: Head) -> dict[str, Any]:
    """The fields of a `Template` that stand in its head. Raises `TemplateError`."""
    if head.data.get("schema") != str(SCHEMA):
        raise head.error(f"the front matter must say `schema: {SCHEMA}`", "schema")
    tests = head.data.pop("tests", [])
    front = head.decode(head.data, _Front)
    if not ID.fullmatch(front.id):
        raise head.error("an id is lower-case words joined by `.`, `-` or `_`, such as `summarise.en`", "id")
    if front.version < 1:
        raise head.error("versions count from 1", "version")
    if not ID.fullmatch(front.intent.name):
        raise head.error("an intent's name is lower-case words joined by `-` or `_`", "intent", "name")
    slots = {name: _slot(head, name, value) for name, value in front.slots.items()}
    return {
        "id": front.id,
        "version": front.version,
        "status": front.status,
        "language": front.language,
        "family": front.family or front.id.removesuffix(f".{front.language}"),
        "intent": front.intent,
        "technique": front.technique,
        "description": front.description,
        "slots": slots,
        "examples": _examples(head, front.examples),
        "calls": read_calls(head, front.calls, {*RESERVED, *slots}),
        "reasoning": read_reasoning(head, front.reasoning),
        "samples": read_samples(head, front.samples),
        "checks": read_checks(head, front.checks),
        "iterate": read_iterate(head, front.iterate, front.checks),
        "output": front.output,
        "models": front.models,
        "optimise": front.optimise,
        "tests": _tests(head, tests, slots),
        "provenance": front.provenance,
        "places": _places(head, slots, len(tests) if isinstance(tests, list) else 0),
    }


def _slot(head: Head, name: str, value: Any) -> Slot:
    path = ("slots", name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in RESERVED:
        raise head.error(f"{name!r} cannot be a slot's name (lower-case, and not {', '.join(RESERVED)})", *path)
    front = head.decode({"from": value} if isinstance(value, str) else value, _SlotFront, *path)
    written = (front.sources,) if isinstance(front.sources, str) else front.sources
    if written == ("",):
        written = ("pattern",) if front.pattern else ("choice",) if front.values else ()
    sources = tuple(_source(head, word, path) for word in written)
    if not sources:
        raise head.error(f"slot {name!r} must say `from:`, one of: {', '.join(Source)}", *path)
    if Source.PATTERN in sources and not front.pattern:
        raise head.error(f"slot {name!r} is from `pattern`, so it must say `pattern:`", *path)
    needs_values = {Source.CHOICE, Source.SECTION} & set(sources)
    if needs_values and not front.values:
        raise head.error(f"slot {name!r} is from `{needs_values.pop()}`, so it must say `values:`", *path)
    if front.required and front.default:
        raise head.error(f"slot {name!r} has a default, so it cannot be missing; drop `required`", *path, "required")
    return Slot(
        sources=sources,
        required=front.required,
        default=front.default,
        max_chars=front.max_chars,
        pattern=_pattern(head, front.pattern, path),
        values=_values(front.values),
    )


def _source(head: Head, word: str, path: tuple[str, ...]) -> Source:
    try:
        return Source(word)
    except ValueError:
        raise head.error(f"unknown source {word!r}; {suggest(word, [*Source])}", *path, "from") from None


def _pattern(head: Head, pattern: str, path: tuple[str, ...]) -> re.Pattern[str] | None:
    if not pattern:
        return None
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise head.error(f"the pattern is not a regular expression: {error}", *path, "pattern") from error
    if compiled.groups > 1:
        raise head.error("a pattern has at most one group: the value", *path, "pattern")
    return compiled


def _values(values: tuple[str, ...] | dict[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    if isinstance(values, dict):
        return {value: (value, *words) for value, words in values.items()}
    return {value: (value,) for value in values}


def _examples(head: Head, value: Any) -> tuple[Shot, ...] | Pool:
    if isinstance(value, dict):
        pool = head.decode(value, Pool, "examples")
        if bool(pool.pool) == bool(pool.collection):
            raise head.error("examples have either a `pool:` (a file) or a `collection:`", "examples")
        if pool.as_ not in ("turns", "list"):
            raise head.error("`as` is `turns` or `list`", "examples", "as")
        if not 1 <= pool.k <= 64:
            raise head.error("`k` is between 1 and 64", "examples", "k")
        if pool.budget_tokens < 0:
            raise head.error("`budget_tokens` is 0 (no cap) or more", "examples", "budget_tokens")
        return pool
    if isinstance(value, list | tuple):
        shots = (head.decode(item, Shot, "examples", index) for index, item in enumerate(value))
        return tuple(Shot(shot.input, shot.output, shot.id or str(index)) for index, shot in enumerate(shots))
    raise head.error("examples are a list of {input, output}, or {pool: file.jsonl, k: 6}", "examples")


def _tests(head: Head, tests: Any, slots: Mapping[str, Slot]) -> tuple[Case, ...]:
    if not isinstance(tests, list):
        raise head.error("tests are a list", "tests")
    cases = []
    for index, item in enumerate(tests):
        if not isinstance(item, dict) or not isinstance(item.get("expect"), list):
            raise head.error("a test has `query:` or `slots:`, and `expect:` with a list", "tests", index)
        for number, expect in enumerate(item["expect"]):
            head.decode(expect, Expect, "tests", index, "expect", number)
        case = head.decode(item, Case, "tests", index)
        if bool(case.query) == bool(case.slots):
            raise head.error("a test has either `query:` or `slots:`", "tests", index)
        for name in case.slots:
            if name not in slots and name != "query":
                raise head.error(f"no slot {name!r} is declared", "tests", index, "slots", name)
        cases.append(case)
    return tuple(cases)


def _places(head: Head, slots: Mapping[str, Slot], tests: int) -> Mapping[str, tuple[int, int]]:
    places = {key: head.line(key) for key in head.data}
    places |= {f"slots.{name}": head.line("slots", name) for name in slots}
    places |= {f"tests.{index}": head.line("tests", index) for index in range(tests)}
    places |= {f"intent.{key}": head.line("intent", key) for key in head.data["intent"]}
    return places
