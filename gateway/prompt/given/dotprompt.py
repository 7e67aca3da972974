"""Reads `.prompt` files of Google's Dotprompt (Genkit): a head in YAML, and a body in Handlebars with roles."""

from pathlib import Path

from gateway.prompt.given.bodies import handlebars_body
from gateway.prompt.given.front_matter import read_text, split_head
from gateway.prompt.given.given_prompt import (
    Blank,
    FileMessage,
    GivenPrompt,
    PromptFileBroken,
    joined,
    settings_losses,
)

ROLES = {"model": "assistant"}
KEPT = {"name", "variant", "version", "description", "input", "metadata"}


def read_dotprompt(file: Path) -> list[GivenPrompt]:
    """Return the prompt of the file. Raises `PromptFileBroken`."""
    text = read_text(file)
    head, body = split_head(text, file)
    pieces, losses = handlebars_body(body.strip() if head else body)
    messages: list[FileMessage] = []
    role, own = "user", list[str | Blank]()
    for piece in (*pieces, Blank("@end")):
        if isinstance(piece, str) or not piece.name.startswith("@"):
            own.append(piece)
            continue
        word, _, value = piece.name[1:].partition(" ")
        if word in ("media", "section"):
            raise PromptFileBroken(
                f"{file} has {{{{{piece.name[1:]}}}}}; only messages of plain text can be recognised"
            )
        message = joined(own)
        if any(isinstance(one, Blank) or one.strip() for one in message):
            messages.append(FileMessage(ROLES.get(role, role), message))
        own = []
        role = value.strip().strip("\"'") if word == "role" else "model"
        losses += ["{{history}}: the conversation stands before the last user message"] if word == "history" else []
    losses += settings_losses(head.keys() - KEPT)
    name = ".".join(str(head[key]) for key in ("name", "variant") if head.get(key)) or file.name.removesuffix(".prompt")
    return [GivenPrompt(name, tuple(messages), tuple(losses))]
