"""Makes a prompt that can be recognised of a prompt that was given as a file."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.found_prompt import FoundPrompt, PartExamples, PromptVersion, prompt_id
from gateway.prompt.found.index import SYSTEM
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.given.given_prompt import Blank, Body, GivenPrompt, PromptFileBroken

LONGEST_NAME = 64
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9._-]+")


class ImportedPrompt(Struct, frozen=True):
    """The result of one import. `losses` are sentences on what the file says and the prompt does not keep."""

    prompt: FoundPrompt
    losses: tuple[str, ...]
    is_new: bool = True
    """False if the prompt was known with exactly this text."""


def put_given(
    known: Sequence[FoundPrompt], given: GivenPrompt, key: str, endpoint: str, name: str = ""
) -> ImportedPrompt:
    """Return the prompt with the given version. A prompt with the same name and place gets the next version.

    Raises `PromptFileBroken`.
    """
    name = name or name_of(given.name)
    losses = list(given.losses)
    version = _version(given, losses)
    id = prompt_id(key, endpoint, (version.system, version.last))
    for prompt in known:
        same_place = (prompt.key, prompt.endpoint) == (key, endpoint)
        if same_place and any((one.system, one.last) == (version.system, version.last) for one in prompt.versions):
            return ImportedPrompt(prompt, tuple(losses), is_new=False)
    for prompt in known:
        if name in (prompt.name, prompt.id):
            if (prompt.key, prompt.endpoint) != (key, endpoint):
                raise PromptFileBroken(
                    f"the name {name!r} belongs to a prompt of the key {prompt.key!r} at {prompt.endpoint}; "
                    "choose another with --name"
                )
            number = prompt.newest.number + 1
            return ImportedPrompt(prompt.with_version(replace(version, number=number)), tuple(losses))
    return ImportedPrompt(FoundPrompt(id, name, key, endpoint, (version,)), tuple(losses))


def name_of(text: str) -> str:
    return _NOT_OF_A_NAME.sub("-", text.lower()).strip("-._")[:LONGEST_NAME] or "prompt"


def _version(given: GivenPrompt, losses: list[str]) -> PromptVersion:
    system = last = None
    last_place = max((place for place, one in enumerate(given.messages) if one.role == "user"), default=-1)
    for place, message in enumerate(given.messages):
        if message.role in SYSTEM and place == 0:
            system = message.body
        elif message.role in SYSTEM:
            raise PromptFileBroken("a system message must be the first message, and there may be only one")
        elif place == last_place:
            last = message.body
        else:
            losses.append(f"message {place + 1} ({message.role}): not compared, it counts as conversation")
    parts: list[PartExamples] = []
    shapes = [_shape(body, parts, losses) if body is not None else None for body in (system, last)]
    version = PromptVersion(1, shapes[0], shapes[1] or OPEN, parts=tuple(parts))
    if version.system is not None and version.system.is_open:
        raise PromptFileBroken("the system message has no fixed text, so no request can be recognised by it")
    if version.system is None and version.last.is_open:
        raise PromptFileBroken("the prompt has no fixed text, so no request can be recognised by it")
    return version


def _shape(body: Body, parts: list[PartExamples], losses: list[str]) -> TextShape:
    """Return the shape of a body, and add its parts to `parts`. Neighbouring blanks become one part."""
    pieces = [""]
    for piece, follows_blank in zip(body, (False, *(isinstance(one, Blank) for one in body)), strict=False):
        if isinstance(piece, str):
            pieces[-1] += piece
        elif follows_blank:
            losses.append(f"{parts[-1].name} and {piece.name}: one part, since no fixed text stands between them")
            parts[-1] = replace(parts[-1], name=_free(f"{parts[-1].name}_{piece.name}", parts[:-1]))
        else:
            parts.append(PartExamples(name=_free(piece.name, parts)))
            pieces.append("")
    return TextShape(tuple(pieces))


def _free(name: str, parts: Iterable[PartExamples]) -> str:
    taken = {part.name for part in parts}
    return next(one for one in (name, *(f"{name}{number}" for number in range(2, 1000))) if one not in taken)
