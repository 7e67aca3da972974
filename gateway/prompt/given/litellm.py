"""Reads `.prompt` files of LiteLLM: a head in YAML, and a body in Jinja whose lines may begin with a role."""

from pathlib import Path

from gateway.prompt.given.bodies import jinja_body
from gateway.prompt.given.front_matter import read_text, split_head
from gateway.prompt.given.given_prompt import Blank, FileMessage, GivenPrompt, joined, settings_losses, stripped

ROLES = {"System:": "system", "User:": "user", "Assistant:": "assistant"}
KEPT = {"name", "version", "description", "input"}


def read_litellm(file: Path) -> list[GivenPrompt]:
    """Return the prompt of the file. Raises `PromptFileBroken`."""
    head, text = split_head(read_text(file), file)
    body, losses = jinja_body(text)
    messages: list[FileMessage] = []
    role, own = "user", list[str | Blank]()

    def end() -> None:
        message = stripped(joined(own))
        if message:
            messages.append(FileMessage(role, message))

    begins_line = True
    for piece in stripped(body):
        if isinstance(piece, Blank):
            own.append(piece)
            begins_line = False
            continue
        # LiteLLM strips every line of the rendered text
        lines = piece.split("\n")
        for number, line in enumerate(lines):
            begins_line = begins_line or number > 0
            is_whole = number < len(lines) - 1
            line = line.lstrip() if begins_line else line
            line = line.rstrip() if is_whole else line
            word = next((word for word in ROLES if begins_line and line.startswith(word)), "")
            if word:
                end()
                role, own = ROLES[word], [line.removeprefix(word).lstrip()]
            else:
                own.append(line)
            own += ["\n"] if is_whole else []
        begins_line = False
    end()
    losses += settings_losses(head.keys() - KEPT)
    return [GivenPrompt(file.name.removesuffix(".prompt"), tuple(messages), tuple(losses))]
