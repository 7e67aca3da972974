"""The folder of adopted templates in the data folder, and their export as files for people and other tools."""

import re
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
from msgspec.structs import replace

from gateway.disk.atomic_file import locked, write_whole
from gateway.errors import ForewordError
from gateway.prompt.found.adopt import HISTORY, NEAREST, FoundTemplate, SkeletonPart, TemplateMessage, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState
from gateway.prompt.found.frozen import WrongTemplate, refuse_changes
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put

FROZEN = "{% frozen %}", "{% endfrozen %}"
_HEAD = re.compile(r"\A---\n.*?\n---\n", re.S)
_PIECE = re.compile(r"\{% frozen %\}(?P<frozen>.*?)\{% endfrozen %\}|\{\{ *(?P<slot>\w+) *\}\}|(?P<other>.)", re.S)
_KEY = re.compile(r"^(\w+):", re.M)
HEAD_KEYS = ("id", "version", "found", "key", "endpoint", "match", "slots", "nearest", "answered_by")
_SECTION = re.compile(r"(?:\A|\n)# (system|user|assistant|history|nearest)\n")
_MARK = re.compile(
    r"(?P<start>\{)(?P<bars>\\*)(?P<rest>% (?:end)?frozen %\}|\{ *\w+ *\}\})"
    r"|^(?P<more>\\*)(?P<head># (?:system|user|assistant|history|nearest))$",
    re.M,
)
"""Text that looks like a mark of an export. An export writes it with one backslash more."""
BAR = "\\"
_END = re.compile(r"\{(\\*)% endfrozen %\}")


class NoSuchVersion(ForewordError):
    """The version of a template does not exist, or its file is broken."""


def template_file(data_folder: Path, prompt: str, version: int = 1) -> Path:
    """Return the file of a version. `prompt` is the id of the found prompt, since its name may change."""
    return data_folder / "found" / "templates" / prompt / f"{version}.json"


def write_template(data_folder: Path, template: FoundTemplate) -> Path:
    """Write a template so that only its owner may read it."""
    file = template_file(data_folder, template.prompt, template.version)
    write_whole(file, msgspec.json.format(msgspec.json.encode(template), indent=1).decode() + "\n")
    for folder in (file.parent, file.parent.parent, file.parent.parent.parent):
        folder.chmod(0o700)
    return file


def read_template(data_folder: Path, prompt: str, version: int) -> FoundTemplate:
    """Read a version of an adopted template. Raises `NoSuchVersion`."""
    file = template_file(data_folder, prompt, version)
    try:
        return msgspec.json.decode(file.read_bytes(), type=FoundTemplate)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoSuchVersion(f"{file} cannot be read: {error}") from error


def write_identity(data_folder: Path, prompt: FoundPrompt) -> Path:
    """Write the identity of a prompt's newest version as a template, and return the file.

    The first template gets version 1. A later template, for a changed text of the application, gets the next number. If
    the newest template already belongs to the prompt's newest version, nothing is written. Raises `NotAdopted`.
    """
    template = identity(prompt)
    with locked(template_file(data_folder, prompt.id)):
        try:
            newest = newest_template(data_folder, prompt.id)
        except NoSuchVersion:
            return write_template(data_folder, template)
        if newest.base == template.base:
            return template_file(data_folder, prompt.id, newest.version)
        return write_template(data_folder, replace(template, version=newest.version + 1))


def add_template(
    data_folder: Path, prompt: str, change: Callable[[FoundTemplate], FoundTemplate]
) -> tuple[FoundTemplate, Path]:
    """Write the next version of a template, and return it with its file. `change` makes it of the newest version.

    A lock is held, so that two processes never take the same number. Raises `NoSuchVersion`.
    """
    with locked(template_file(data_folder, prompt)):
        newest = newest_template(data_folder, prompt)
        template = replace(change(newest), version=newest.version + 1)
        return template, write_template(data_folder, template)


def adopt(data_folder: Path, name: str, *, anew: bool = True) -> Path | None:
    """Write the identity of a prompt, and set its state to adopted. With `anew`, an adopted prompt also gets the
    identity of a text that was deployed since. Returns the file, or None if there was nothing to do. Raises
    `NoSuchPrompt` and `NotAdopted`.
    """
    file: Path | None = None

    def adopted(content: FoundFile) -> FoundFile:
        nonlocal file
        prompt = one_of(content.prompts, name)
        if prompt.state is PromptState.ADOPTED and not anew:
            return content
        file = write_identity(data_folder, prompt)
        return put(content, [replace(prompt, state=PromptState.ADOPTED)])

    change_found(found_path(data_folder), adopted)
    return file


def present_identity(data_folder: Path, prompt: FoundPrompt) -> FoundTemplate | None:
    """Return the first version that was made for the application's present text, or None."""
    newest = newest_template(data_folder, prompt.id).version
    versions = (read_template(data_folder, prompt.id, number) for number in range(1, newest + 1))
    return next((one for one in versions if one.base == prompt.newest.number), None)


def newest_template(data_folder: Path, prompt: str) -> FoundTemplate:
    """Read the newest version of an adopted template. Raises `NoSuchVersion`."""
    files = template_file(data_folder, prompt).parent.glob("*.json")
    numbers = [int(file.stem) for file in files if file.stem.isdecimal()]
    if not numbers:
        raise NoSuchVersion(f"{prompt} is not adopted yet; run: foreword prompts adopt {prompt}")
    return read_template(data_folder, prompt, max(numbers))


def exported(template: FoundTemplate, unlocked: Collection[str] = ()) -> str:
    """Return a template as Markdown: a head, and a section for each message. Each frozen text that is not in
    `unlocked` stands between the two marks of `FROZEN`.
    """
    slots = "".join(f"  {slot.name}: {{type: {slot.type}}}\n" for slot in template.slots)
    head = (
        f"---\nid: {template.id}\nversion: {template.version}\nfound: {template.prompt}\nkey: {_quoted(template.key)}\n"
        f"endpoint: {template.endpoint}\nmatch: {template.match}\n" + (f"slots:\n{slots}" if slots else "")
    )
    if template.nearest is not None:
        # the examples themselves are texts of users, and stay in the data folder
        one = template.nearest
        head += f"nearest: {{part: {one.part}, k: {one.k}, rows: {len(one.rows)}}}\n"
    if template.model:
        head += f"answered_by: {_quoted(template.model)}\n"
    head += "---\n"
    return head + "".join(f"\n# {message.role}\n\n{_body(message.parts, unlocked)}\n" for message in template.messages)


def _body(parts: tuple[SkeletonPart, ...], unlocked: Collection[str]) -> str:
    written, loose = "", ""
    for part in parts:
        if not part.slot and not (part.frozen and part.text not in unlocked):
            loose += part.text
            continue
        written, loose = written + _escaped(loose), ""
        written += f"{{{{ {part.slot} }}}}" if part.slot else f"{FROZEN[0]}{_frozen_escaped(part.text)}{FROZEN[1]}"
    return written + _escaped(loose)


def _escaped(loose: str) -> str:
    """Write loose text so that nothing in it is read as a mark, a part or a heading."""
    return _MARK.sub(lambda match: _with_bars(match, 1), loose)


def _unescaped(loose: str) -> str:
    return _MARK.sub(lambda match: _with_bars(match, -1), loose)


def _with_bars(match: re.Match[str], more: int) -> str:
    bars = len(match["bars"] or match["more"] or "") + more
    return (match["start"] or "") + BAR * max(0, bars) + (match["rest"] or match["head"])


def _frozen_escaped(text: str) -> str:
    """Write frozen text so that it does not end early. Other marks mean nothing inside frozen text."""
    return _END.sub(r"{\1\\% endfrozen %}", text)


def _frozen_unescaped(text: str) -> str:
    return _END.sub(lambda match: f"{{{match[1][1:]}% endfrozen %}}", text)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def imported(
    text: str, before: FoundTemplate, prompt: FoundPrompt | None = None, *, unlocked: bool = False
) -> FoundTemplate:
    """Read an edited export as the next version of a template.

    Raises `WrongTemplate` if the slots differ from those of `before`, if a frozen text has changed that `prompt` has
    not unlocked, or if the head sets something that the application decides. `unlocked` allows changes of all frozen
    texts. The nearest examples and the model are those of `before`.
    """
    head = _HEAD.match(text)
    for name in _KEY.findall(head[0]) if head else ():
        if name not in HEAD_KEYS:
            raise WrongTemplate(
                f"its head has {name!r}; the application alone sets the settings, tools and formats of its requests"
            )
    messages = tuple(_messages(_HEAD.sub("", text, count=1)))
    nearest = before.nearest if any(message.role == NEAREST for message in messages) else None
    template = replace(before, messages=messages, version=before.version + 1, unlocked=unlocked, nearest=nearest)
    refuse_changes(template, _without_frozen(before) if unlocked else before, None if unlocked else prompt)
    return template


def bodies(template: FoundTemplate, unlocked: Collection[str] = ()) -> dict[str, str]:
    """Return the system message and the last message as an export writes them. `system` is "" if there is none."""
    system = next((message.parts for message in template.messages if message.role == "system"), ())
    return {"system": _body(system, unlocked), "user": _body(template.messages[-1].parts, unlocked)}


def with_bodies(template: FoundTemplate, system: str, user: str) -> FoundTemplate:
    """Return a template with another system message and another last message, written as an export writes them."""
    others = [message for message in template.messages[:-1] if message.role != "system"]
    head = [TemplateMessage("system", tuple(_parts(system)))] if system else []
    last = TemplateMessage(template.messages[-1].role, tuple(_parts(user)))
    return replace(template, messages=(*head, *others, last))


def _without_frozen(template: FoundTemplate) -> FoundTemplate:
    messages = (
        replace(message, parts=tuple(replace(part, frozen=False) for part in message.parts))
        for message in template.messages
    )
    return replace(template, messages=tuple(messages))


def _messages(body: str) -> list[TemplateMessage]:
    """Split the text into messages at its headings. A heading inside a frozen text is part of that text."""
    hidden = _PIECE.sub(lambda match: "\0" * len(match[0]) if match["other"] is None else match[0], body)
    heads = list(_SECTION.finditer(hidden))
    messages = []
    for number, head in enumerate(heads):
        end = heads[number + 1].start() if number + 1 < len(heads) else len(body)
        own = body[head.end() : end].removeprefix("\n").removesuffix("\n")
        messages.append(TemplateMessage(head[1], () if head[1] in (HISTORY, NEAREST) else tuple(_parts(own))))
    return messages


def _parts(text: str) -> list[SkeletonPart]:
    parts: list[SkeletonPart] = []
    loose = ""
    for match in _PIECE.finditer(text):
        if match["other"] is not None:
            loose += match["other"]
            continue
        if loose:
            parts.append(SkeletonPart(text=_unescaped(loose), frozen=False))
            loose = ""
        slot, frozen = match["slot"] or "", match["frozen"] or ""
        parts.append(SkeletonPart(slot=slot, frozen=False) if slot else SkeletonPart(text=_frozen_unescaped(frozen)))
    return [*parts, SkeletonPart(text=_unescaped(loose), frozen=False)] if loose else parts
