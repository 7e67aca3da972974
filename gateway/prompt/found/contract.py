"""The answer contract of an adopted prompt: what the application's parser may rely on.

The job `learn-contract` learns a contract from recorded answers. A person may edit its file. Candidates and canaries
must keep it. Contracts are checked by jobs and commands, never while a request waits.
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Literal

import regex  # type: ignore[import-untyped]
from msgspec import Struct

from gateway.ports import Answer, ToolCall

FENCE = re.compile(r"\s*```[\w-]*\n(.*?)\n?```\s*", re.DOTALL)
CUT = "length"
PATIENCE_S = 0.2
"""The longest time for one match of a pattern. A person may write a pattern that takes exponential time."""
SCHEMA = 1

JsonSchema = dict[str, Any]


class AnswerContract(Struct, frozen=True, forbid_unknown_fields=True):
    """The claims about answers. A field with its default value claims nothing.

    The fields about the text do not apply to an answer that only calls tools.
    """

    json_schema: JsonSchema | None = None
    """The whole text is JSON that fits this schema."""
    fence: Literal["", "never", "always"] = ""
    """Whether the JSON stands in a Markdown code block. "": both occur."""
    labels: tuple[str, ...] = ()
    """The text is exactly one of these, apart from white space around it."""
    pattern: str = ""
    """This regular expression matches the whole text, apart from white space around it."""
    longest: int = 0
    """The maximum number of characters."""
    language: str = ""
    """The language of the text, as a code such as `de`."""
    tools: dict[str, JsonSchema] = {}
    """The tools that may be called, each with a schema of its arguments. If this is empty, nothing is claimed about
    tool calls."""
    calls: Literal["", "always"] = ""
    """`always`: each answer calls a tool."""
    answers: int = 0
    """The number of recorded answers from which the contract was learned."""
    keeps: float = 0.0
    """The share of what the model answered in this time that keeps the contract."""
    learned: str = ""
    """A digest of the contract as it was learned. If it does not fit the other fields, a person has edited them."""
    schema: int = SCHEMA

    @property
    def is_empty(self) -> bool:
        """Whether the contract claims nothing."""
        return not (self.claims_text or self.tools or self.calls)

    @property
    def claims_text(self) -> bool:
        return bool(self.json_schema is not None or self.labels or self.pattern or self.longest or self.language)


def breach(contract: AnswerContract, answer: Answer) -> str:
    """Return how an answer breaks the contract, or "" if it keeps the contract. The result quotes no answer."""
    return next(_breaches(contract, answer), "")


def _breaches(contract: AnswerContract, answer: Answer) -> Iterator[str]:
    if answer.finish == CUT and not contract.is_empty:
        yield "it was cut off"
    if contract.calls and not answer.calls:
        yield "it calls no tool"
    if contract.tools:
        yield from (what for call in answer.calls if (what := _call_breach(contract, call)))
    if contract.claims_text and not (answer.calls and not answer.text.strip()):
        yield from _text_breaches(contract, answer.text)


def _call_breach(contract: AnswerContract, call: ToolCall) -> str:
    schema = contract.tools.get(call.name)
    if schema is None:
        return "it calls a tool that is not in the contract"
    try:
        arguments = _json(call.arguments or "{}")
    except (ValueError, RecursionError):
        return f"the arguments of {call.name} are not JSON"
    what = schema_breach(schema, arguments)
    return f"the arguments of {call.name}: {what}" if what else ""


def _text_breaches(contract: AnswerContract, text: str) -> Iterator[str]:
    bare = text.strip()
    if not bare:
        yield "it is empty"
        return
    if contract.json_schema is not None:
        yield from _json_breaches(contract, bare, contract.json_schema)
    if contract.labels and bare not in contract.labels:
        yield "it is none of the labels"
    if contract.pattern and not fits(contract.pattern, bare):
        yield "it does not fit the pattern"
    if contract.longest and len(bare) > contract.longest:
        yield f"it has {len(bare)} characters, more than {contract.longest}"
    if contract.language:
        from gateway.prompt.language.detect import any_language

        said = any_language(bare)
        if said not in ("", contract.language):
            yield f"its language is {said!r}"


def _json_breaches(contract: AnswerContract, text: str, schema: JsonSchema) -> Iterator[str]:
    fenced = FENCE.fullmatch(text)
    if (contract.fence == "never" and fenced) or (contract.fence == "always" and not fenced):
        yield f"a code block around the JSON: {contract.fence} expected"
        return
    try:
        value = _json(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        yield "it is not JSON"
        return
    what = schema_breach(schema, value)
    if what:
        yield what


def _json(text: str) -> Any:
    """Parse JSON as strict parsers do. Raises `ValueError` also for NaN and infinity, which Python's own accepts."""
    return json.loads(text, parse_constant=_no_json)


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def schema_breach(schema: JsonSchema, value: Any) -> str:
    """Return where and how a value does not fit a schema, or "". The value itself is not quoted."""
    if not schema:
        return ""
    # imported here, since jsonschema adds 0.1 s to the start
    from jsonschema import exceptions

    try:
        error = exceptions.best_match(_validator()(schema).iter_errors(value))
    except (ArithmeticError, ValueError):
        return "a number in it is too large to be compared with the schema"
    if error is None:
        return ""
    if error.validator == "required" and isinstance(error.instance, dict):
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{error.json_path} lacks {', '.join(missing)}"
    return f"{error.json_path} does not fit {error.validator}"


def fits(pattern: str, text: str) -> bool:
    """Return whether a pattern matches the whole text. A match that takes too long counts as none."""
    return _ends_in_time(regex.fullmatch, pattern, text)


def _ends_in_time(match: Callable[..., Any], pattern: str, text: str) -> bool:
    try:
        return match(pattern, text, timeout=PATIENCE_S) is not None
    except TimeoutError:
        return False


@cache
def _validator() -> Any:
    """Return jsonschema's validator, whose patterns may take no longer than that of the contract itself."""
    from jsonschema import Draft202012Validator, exceptions, validators

    def pattern(_: Any, wanted: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not _ends_in_time(regex.search, wanted, value):
            yield exceptions.ValidationError("does not fit the pattern")

    def pattern_properties(validator: Any, wanted: JsonSchema, value: Any, _: Any) -> Iterator[Any]:
        for name, inner in value.items() if isinstance(value, dict) else ():
            for one, schema in wanted.items():
                if _ends_in_time(regex.search, one, name):
                    yield from validator.descend(inner, schema, path=name, schema_path=one)

    own = {"pattern": pattern, "patternProperties": pattern_properties}
    return validators.extend(Draft202012Validator, own)
