"""Removes the default system prompt from a model's own chat template.

Many chat templates add a system message by the model's maker ("You are a helpful AI assistant named ...") to a
conversation without one. The client did not ask for this message, and small models answer worse with it.
"""

from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MARK = "\N{OBJECT REPLACEMENT CHARACTER}system\N{OBJECT REPLACEMENT CHARACTER}"
USER = {"role": "user", "content": "\N{OBJECT REPLACEMENT CHARACTER}user\N{OBJECT REPLACEMENT CHARACTER}"}
SYSTEM = {"role": "system", "content": MARK}


class CannotChange(ValueError):
    """The chat template cannot be changed safely."""


def without_default_system(template: str, *, bos: str = "", eos: str = "") -> str:
    """Return a chat template without its default system message. Raises `CannotChange` if the default cannot be
    removed.

    The changed template is tested: it must render a conversation with a system message exactly as the original does.
    """
    given = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}
    bare = _render(template, [USER], given)
    spoken = _render(template, [SYSTEM, USER], given)
    default = _default(bare, spoken)
    if not default:
        return template
    changed = _without(template, default)
    if default in _render(changed, [USER], given) or _render(changed, [SYSTEM, USER], given) != spoken:
        raise CannotChange(f"the default system prompt {default!r} cannot be separated from the chat template")
    return changed


def _default(bare: str, spoken: str) -> str:
    """Return the template's default system text, or "" if there is none. `bare` is a rendered conversation without a
    system message, and `spoken` is the same conversation with a system message.
    """
    before = _shared(bare, spoken)
    after = _shared(bare[before:][::-1], spoken[before:][::-1])
    rest = bare[before : len(bare) - after]
    # without a default, `bare` differs from `spoken` only by the missing system turn
    return "" if MARK not in spoken or USER["content"] in rest else rest.strip()


def _shared(first: str, second: str) -> int:
    """Return the length of the common prefix of two texts."""
    return next(
        (at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(second)),
    )


def _without(template: str, default: str) -> str:
    """Return the template's source without the string literals and the plain text that contain `default`."""
    pieces = []
    for _line, kind, value in _environment().lex(template):
        if kind == "string" and default in _meant(value):
            pieces.append("''")
        elif kind == "data" and default in value:
            pieces.append("")
        else:
            pieces.append(value)
    return "".join(pieces)


def _meant(literal: str) -> str:
    """Return the text of a quoted literal, as jinja2's own lexer reads it."""
    return literal[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape")


def _render(template: str, messages: list[dict[str, str]], given: dict[str, Any]) -> str:
    try:
        return _environment().from_string(template).render(messages=messages, **given)
    except (TemplateError, SecurityError, TypeError, ValueError, KeyError) as error:
        raise CannotChange(f"the chat template cannot be rendered: {error}") from error


def _environment() -> ImmutableSandboxedEnvironment:
    """Return an environment like the one in which transformers renders chat templates."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: "1 Jan 2026"
    return environment


def _refuse(message: str) -> str:
    raise TemplateError(message)
