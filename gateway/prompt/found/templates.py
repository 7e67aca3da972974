"""The folder of adopted templates in the data folder, and their export as files for people and other tools."""

from pathlib import Path

import msgspec

from gateway.atomic_file import write_whole
from gateway.prompt.found.adopt import FoundTemplate, TemplatePart

FROZEN = "{% frozen %}", "{% endfrozen %}"


def template_file(data_folder: Path, id: str, version: int = 1) -> Path:
    return data_folder / "found" / "templates" / id / f"{version}.json"


def write_template(data_folder: Path, template: FoundTemplate) -> Path:
    """Write a template so that only its owner may read it."""
    file = template_file(data_folder, template.id, template.version)
    write_whole(file, msgspec.json.format(msgspec.json.encode(template), indent=1).decode() + "\n")
    for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
        folder.chmod(0o700)
    return file


def read_template(file: Path) -> FoundTemplate:
    return msgspec.json.decode(file.read_bytes(), type=FoundTemplate)


def exported(template: FoundTemplate) -> str:
    """Return a template as Markdown: a head, and a section for each message. Fixed text stands between the frozen
    marks."""
    slots = "".join(f"  {slot.name}: {{type: {slot.type}}}\n" for slot in template.slots)
    head = (
        f"---\nid: {template.id}\nversion: {template.version}\nfound: {template.prompt}\nkey: {_quoted(template.key)}\n"
        f"endpoint: {template.endpoint}\nmatch: {template.match}\n" + (f"slots:\n{slots}" if slots else "") + "---\n"
    )
    return head + "".join(f"\n# {message.role}\n\n{_body(message.parts)}\n" for message in template.messages)


def _body(parts: tuple[TemplatePart, ...]) -> str:
    return "".join(map(_written, parts))


def _written(part: TemplatePart) -> str:
    if part.slot:
        return f"{{{{ {part.slot} }}}}"
    return f"{FROZEN[0]}{part.text}{FROZEN[1]}" if part.frozen else part.text


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
