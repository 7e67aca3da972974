"""Minimal template files. A test adds only what it is about."""

from pathlib import Path

from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template


def match_of(intent: str) -> list[str]:
    return [f"please {intent} order number {number}" for number in range(8)]


MATCH = match_of("refund")
NOT = ["what is your refund policy?", "where is my parcel"]


def head(
    *,
    id: str = "refund.en",
    version: int = 1,
    status: str = "active",
    language: str = "en",
    intent: str = "refund",
    match: list[str] | None = None,
    not_: list[str] = NOT,
    more: str = "",
) -> str:
    match = match_of(intent) if match is None else match
    lines = ["schema: 1", f"id: {id}", f"version: {version}", f"status: {status}", f"language: {language}"]
    lines += ["intent:", f"  name: {intent}", "  match:", *(f"    - {text!r}" for text in match)]
    lines += ["  not:", *(f"    - {text!r}" for text in not_)]
    return "\n".join(lines) + "\n" + more


def source(body: str = "# user\n{{ query }}\n", **fields: object) -> str:
    return f"---\n{head(**fields)}---\n{body}"  # type: ignore[arg-type] - the fields of `head`, passed through


def template(body: str = "# user\n{{ query }}\n", file: str = "refund.prompt.md", **fields: object) -> Template:
    return parse(source(body, **fields), file)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.prompt.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
