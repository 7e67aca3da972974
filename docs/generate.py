"""Writes docs/configuration.md from the settings structs; `--check` fails if the page is out of date."""

import inspect
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from gateway import registry
from gateway.backends.probe_settings import ProbeSettings
from gateway.documented import field_texts
from gateway.settings.mcp import McpServer
from gateway.settings.models import Deployment, Mirror
from gateway.settings.tables import NAMED, PLAIN

PAGE = Path(__file__).with_name("configuration.md")
OPENING = """# Configuration

*Generated from the settings structs by `make docs`; do not edit by hand.*

Foreword reads one TOML file, `config.toml` in the working directory or the one that `--config` (or
`FOREWORD_CONFIG`) names. Unknown tables and keys are mistakes. `foreword check` reports all the
mistakes of a file at once, and `foreword serve` does the same before it opens the port.

A text of the form `env:NAME` is replaced by that environment variable. File names may be relative
to the configuration file, or `package:name/file` for a file inside an installed Python package.
"""
NESTED = {
    "mcp.servers.x": McpServer,
    "models.x.deployments": Deployment,
    "models.x.mirror": Mirror,
    "backends.x.probe": ProbeSettings,
}
TABLES = [*PLAIN.items(), *((f"{name}.x", struct) for name, struct in NAMED.items()), *NESTED.items()]
NAMES = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
    "ProbeSettings": "table",
    "Mirror": "table",
    "Price": "table of `prompt` and `completion`",
    "tuple[str, ...]": "list of texts",
    "dict[str, str]": "table of texts",
    "dict[str, str | list[str]]": "table of texts or lists",
    "dict[str, gateway.settings.mcp.McpServer]": "tables",
    "dict[str, gateway.settings.jobs.Price]": "table of prices",
}
GROUPS = {
    "backends": "backends.x",
    "embedders": "embedder",
    "stores": "store",
    "rerankers": "reranker",
    "state": "state",
}


def page() -> str:
    kinds = [
        (f'[{table}] kind = "{kind}"', registry.find(group, kind).settings)
        for group, table in GROUPS.items()
        for kind in registry.BUILT_IN[group]
    ]
    tables = [(f"[{name}]", struct) for name, struct in TABLES]
    return "\n".join([OPENING, *[_table(title, struct) for title, struct in [*tables, *kinds]]])


def _table(title: str, struct: type[Struct]) -> str:
    about = inspect.cleandoc(struct.__doc__ or "").split(": ", 1)[-1]
    rows = [f"## `{title}`", "", about[:1].upper() + about[1:], ""]
    texts = field_texts(struct)
    fields = msgspec.structs.fields(struct)
    if fields:
        rows += ["| key | type | default | |", "| --- | --- | --- | --- |"]
    for field in fields:
        text = texts.get(field.name, "").replace("|", "\\|")
        rows.append(f"| `{field.encode_name}` | {_type(field.type)} | {_default(field)} | {text} |")
    return "\n".join(rows) + "\n"


def _type(kind: Any) -> str:
    limits = ""
    if type(None) in get_args(kind):  # what may be left out is of the other type
        kind = get_args(kind)[0]
    if get_origin(kind) is Annotated:
        kind, meta = get_args(kind)
        limits = _limits(meta)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in kind)
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        if get_origin(inner) is Literal:
            return "list of " + ", ".join(f"`{value}`" for value in get_args(inner))
        if isinstance(inner, type) and issubclass(inner, Struct):
            return "list of tables"
    return NAMES.get(str(kind), NAMES.get(getattr(kind, "__name__", ""), str(kind))) + limits


def _limits(meta: msgspec.Meta) -> str:
    if meta.pattern:
        return f", matching `{meta.pattern}`"
    bounds = [("over", meta.gt), ("from", meta.ge), ("to", meta.le)]
    said = " ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    return f" {said}" if said else ""


def _default(field: Any) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return ""
    plain = msgspec.to_builtins(value)
    return f"`{msgspec.json.encode(plain).decode()}`"


def main() -> int:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, "utf-8")
        return 0
    if PAGE.read_text("utf-8") == text:
        return 0
    sys.stderr.write("docs/configuration.md is out of date: run make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
