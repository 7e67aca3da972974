"""Shows an answer contract in sentences."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from gateway.prompt.found.contract import AnswerContract, JsonSchema
from gateway.prompt.found.contract_file import ContractBroken, is_edited, read_contract
from gateway.prompt.found.view import ShownPrompt

MOST_LABELS = 12
DEEPEST = 4
FENCES = {"": "", "never": ", without a code block", "always": ", in a code block"}


def with_contract(view: ShownPrompt, data_folder: Path) -> ShownPrompt:
    """Return the shown prompt with its answer contract."""
    try:
        contract = read_contract(data_folder, view.id)
    except ContractBroken as error:
        return replace(view, contract_problem=str(error))
    if contract is None:
        return view
    return replace(view, contract=contract, contract_by="a person" if is_edited(contract) else "recorded answers")


def claims(contract: AnswerContract) -> Iterator[str]:
    """Yield a line for each claim."""
    if contract.calls:
        yield "calls a tool in each answer"
    for name, schema in contract.tools.items():
        yield f"may call {name}: {_shape(schema)}"
    if contract.json_schema is not None:
        yield f"JSON{FENCES[contract.fence]}: {_shape(contract.json_schema)}"
    if contract.labels:
        yield f"one of {_few(contract.labels)}"
    if contract.pattern:
        yield f"fits {contract.pattern}"
    if contract.longest:
        yield f"at most {contract.longest:,} characters"
    if contract.language:
        yield f"in the language {contract.language}"
    if contract.answers:
        yield f"learned from {contract.answers:,} answers; {contract.keeps:.1%} of the model's answers kept it"


def _shape(schema: JsonSchema | bool, depth: int = 0) -> str:
    """Return a schema in one line: `{label: one of a, b; score?: number}`. A question mark marks an optional key."""
    if isinstance(schema, bool):  # what a schema may hold in place of a further one
        return "anything" if schema else "nothing"
    if "enum" in schema:
        return f"one of {_few([str(value) for value in schema['enum']])}"
    if depth < DEEPEST and "properties" in schema:
        required = schema.get("required", ())
        fields = (
            f"{name}{'' if name in required else '?'}: {_shape(inner, depth + 1)}"
            for name, inner in schema["properties"].items()
        )
        return f"{{{'; '.join(fields)}}}"
    if depth < DEEPEST and schema.get("items"):
        return f"list of {_shape(schema['items'], depth + 1)}"
    return _type(schema.get("type", "anything"))


def _type(type: Any) -> str:
    return " or ".join(type) if isinstance(type, list) else str(type)


def _few(labels: Any) -> str:
    rest = len(labels) - MOST_LABELS
    return ", ".join(labels[:MOST_LABELS]) + (f" and {rest} more" if rest > 0 else "")
