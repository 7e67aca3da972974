"""Reads the head of a template file as typed values."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from msgspec import Struct

from gateway.ask import Mode
from gateway.prompt.templates.fields import (
    ID,
    SCHEMA,
    ExamplePool,
    Expect,
    Extract,
    IntentSpec,
    Iterate,
    Language,
    ModelPatterns,
    Optimise,
    Output,
    Provenance,
    Purpose,
    ReasoningRule,
    Shot,
    Slot,
    Status,
    Technique,
    TemplateTest,
)
from gateway.prompt.templates.frontmatter import FrontMatterHead
from gateway.prompt.templates.slot_schema import read_extract, read_slot
from gateway.prompt.templates.step_schema import read_calls, read_checks, read_iterate, read_reasoning, read_samples

RESERVED = ("query", "examples", "labels", "loop", "answer", "failures")


class _FrontMatter(Struct, frozen=True):
    """The keys of a head. A function in this module or in `slot_schema` or `step_schema` reads the keys that need more
    than a type.
    """

    schema: int
    id: str
    version: int
    intent: IntentSpec
    status: Status = Status.DRAFT
    mode: str = ""
    language: Language = Language("en")
    technique: Technique = Technique.DIRECT
    description: str = ""
    family: str = ""
    purpose: Purpose = Purpose.ANSWER
    growth_chars: int = 0
    slots: dict[str, Any] = {}
    extract: Extract | None = None
    examples: Any = ()
    calls: dict[str, Any] = {}
    reasoning: ReasoningRule = ReasoningRule()
    samples: Any = None
    checks: list[Any] = []
    iterate: Iterate | None = None
    output: Output = Output()
    models: ModelPatterns = ModelPatterns()
    optimise: Optimise = Optimise()
    tests: tuple[TemplateTest, ...] = ()
    provenance: Provenance = Provenance()


def read_head(head: FrontMatterHead) -> dict[str, Any]:
    """Return the fields of a `Template` that the head sets. Raises `TemplateError`."""
    if head.data.get("schema") != str(SCHEMA):
        raise head.error(f"the front matter must say `schema: {SCHEMA}`", "schema")
    tests = head.data.pop("tests", [])
    front = head.decode(head.data, _FrontMatter)
    if not ID.fullmatch(front.id):
        raise head.error("an id is lower-case words joined by `.`, `-` or `_`, such as `summarise.en`", "id")
    if front.version < 1:
        raise head.error("versions count from 1", "version")
    if front.family and not ID.fullmatch(front.family):
        raise head.error("a family is lower-case words joined by `.`, `-` or `_`, such as `summarise`", "family")
    if not ID.fullmatch(front.intent.name):
        raise head.error("an intent's name is lower-case words joined by `-` or `_`", "intent", "name")
    if front.mode not in ("", Mode.PROVEN):
        raise head.error('the mode of a file is `proven`; `[templates."id"] mode` sets any other', "mode")
    slots = {name: read_slot(head, name, value, RESERVED) for name, value in front.slots.items()}
    return {
        "id": front.id,
        "version": front.version,
        "status": front.status,
        "proven_only": front.mode == Mode.PROVEN,
        "language": front.language,
        "family": front.family or front.id.removesuffix(f".{front.language}"),
        "intent": front.intent,
        "technique": front.technique,
        "description": front.description,
        "purpose": front.purpose,
        "growth_chars": front.growth_chars,
        "slots": slots,
        "extract": read_extract(head, front.extract, slots),
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


def _beside(name: str) -> bool:
    """Return whether the path is a `.jsonl` file inside the template's folder.

    A template that a model has written must not read other files.
    """
    path = PurePosixPath(name)
    return name.endswith(".jsonl") and not path.is_absolute() and ".." not in path.parts and name.isprintable()


def _examples(head: FrontMatterHead, value: Any) -> tuple[Shot, ...] | ExamplePool:
    if isinstance(value, dict):
        pool = head.decode(value, ExamplePool, "examples")
        if bool(pool.pool) == bool(pool.collection):
            raise head.error("examples have either a `pool:` (a file) or a `collection:`", "examples")
        if pool.pool and not _beside(pool.pool):
            raise head.error("a pool is a .jsonl file in the template's own folder or below", "examples", "pool")
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


def _tests(head: FrontMatterHead, tests: Any, slots: Mapping[str, Slot]) -> tuple[TemplateTest, ...]:
    if not isinstance(tests, list):
        raise head.error("tests are a list", "tests")
    cases = []
    for index, item in enumerate(tests):
        if not isinstance(item, dict) or not isinstance(item.get("expect"), list):
            raise head.error("a test has `query:` or `slots:`, and `expect:` with a list", "tests", index)
        for number, expect in enumerate(item["expect"]):
            head.decode(expect, Expect, "tests", index, "expect", number)
        case = head.decode(item, TemplateTest, "tests", index)
        if bool(case.query) == bool(case.slots):
            raise head.error("a test has either `query:` or `slots:`", "tests", index)
        for name in case.slots:
            if name not in slots and name != "query":
                raise head.error(f"no slot {name!r} is declared", "tests", index, "slots", name)
        cases.append(case)
    return tuple(cases)


def _places(head: FrontMatterHead, slots: Mapping[str, Slot], tests: int) -> Mapping[str, tuple[int, int]]:
    places = {key: head.line(key) for key in head.data}
    places |= {f"slots.{name}": head.line("slots", name) for name in slots}
    places |= {f"tests.{index}": head.line("tests", index) for index in range(tests)}
    places |= {f"intent.{key}": head.line("intent", key) for key in head.data["intent"]}
    return places
