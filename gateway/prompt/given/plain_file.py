"""Reads a prompt from a plain file: Markdown with the sections `# system` and `# user`, a list of messages, or text."""

import re
from pathlib import Path

from gateway.prompt.given.bodies import plain_body
from gateway.prompt.given.chat import read_messages
from gateway.prompt.given.front_matter import mapping, read_json, read_text, split_head
from gateway.prompt.given.given_prompt import FileMessage, GivenPrompt, settings_losses, stripped

_SECTION = re.compile(r"^# (system|developer|user|assistant|history)[ \t]*$", re.MULTILINE)


def read_plain(file: Path) -> list[GivenPrompt]:
    """Return the prompt of the file. `{{ name }}` is a part. Raises `PromptFileBroken`.

    Without sections the whole text, without the line break at its end, is the user's message.
    """
    text = read_text(file)
    if file.suffix == ".json":
        value = read_json(text, file)
        settings = {}
        if isinstance(value, dict):
            settings = mapping(value, str(file))
            value = settings.pop("messages", None)
        messages, losses = read_messages(value, str(file), plain_body)
        return [GivenPrompt(file.stem, tuple(messages), (*losses, *settings_losses(settings)))]
    head, body = split_head(text, file)
    sections = _SECTION.split(body)
    losses = list(settings_losses(head.keys() - {"id", "name", "version", "description"}))
    name = str(head.get("id") or head.get("name") or file.stem)
    if len(sections) == 1:
        return [GivenPrompt(name, (FileMessage("user", plain_body(body.removesuffix("\n"))[0]),), tuple(losses))]
    pairs = zip(sections[1::2], sections[2::2], strict=True)
    messages = [FileMessage(role, stripped(plain_body(own)[0])) for role, own in pairs if role != "history"]
    return [GivenPrompt(name, tuple(messages), tuple(losses))]
