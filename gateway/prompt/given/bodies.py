"""Reads the bodies of prompt files: Jinja and its relatives, Handlebars, and plain `{{ name }}`.

A body becomes fixed text and blanks. A condition, a loop, a partial or an expression becomes one blank, whose value is
whatever stands there in a request; a sentence says so.
"""

import re
from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError

from gateway.prompt.given.given_prompt import Blank, Body, PromptFileBroken, blank_name, joined

_jinja = Environment()  # only cuts text into tokens; nothing is rendered
_NESTED = frozenset({"if", "for", "filter", "macro", "call", "with", "autoescape", "block"})
_SIMPLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_HANDLEBARS = re.compile(
    r"(?P<escaped>\\\{\{[^}]*\}\})"
    r"|\{\{\{\s*(?P<raw>[^}]*?)\s*\}\}\}"
    r"|\{\{~?!(?:--.*?--|[^}]*)~?\}\}"
    r"|\{\{~?(?P<mark>[#/^>&]?)\s*(?P<inner>[^}]*?)\s*~?\}\}",
    re.DOTALL,
)
_NAME = re.compile(r"[A-Za-z_]\w*")


def plain_body(text: str) -> tuple[Body, list[str]]:
    """Read `{{ name }}` as a blank and everything else as text."""
    pieces: list[str | Blank] = []
    at = 0
    for match in _SIMPLE.finditer(text):
        pieces += [text[at : match.start()], Blank(match[1])]
        at = match.end()
    return joined([*pieces, text[at:]]), []


def jinja_body(text: str) -> tuple[Body, list[str]]:
    """Read a body in Jinja's language, which MiniJinja and Nunjucks share. Raises `PromptFileBroken`."""
    losses: list[str] = []
    pieces: list[str | Blank] = []
    depth = 0
    try:
        _jinja.parse(text)  # the tokens alone do not show what is never closed
        for kind, source, words in _statements(text):
            tag = words[0] if words else ""
            if kind == "data":
                pieces.append("" if depth else source)
            elif kind == "variable" and len(words) == 1 and source[0] in "\"'":
                # a text in quotes, such as {{ "{{" }}, is how the marks of the language itself are written
                pieces.append("" if depth else _quoted(source))
            elif kind == "variable":
                if not depth:
                    pieces.append(Blank(blank_name(source) if len(words) > 1 else source))
                    losses += [f"{{{{ {source} }}}}: a part with the value as it is sent"] if len(words) > 1 else []
            elif tag in _NESTED:
                if not depth:
                    pieces.append(Blank(blank_name(source)))
                    losses.append(f"{{% {source} %}}: one part with all that it writes, which may be empty")
                depth += 1
            elif tag.startswith("end"):
                depth -= 1
            elif tag == "set" and "=" not in words:
                depth += 1
            elif tag == "extends":
                raise PromptFileBroken(f"{{% {source} %}}: give the whole prompt in one file")
            elif tag in ("include", "import", "from") and not depth:
                pieces.append(Blank(blank_name(source)))
                losses.append(f"{{% {source} %}}: one part with all that it writes")
    except TemplateSyntaxError as error:
        raise PromptFileBroken(f"line {error.lineno} of the prompt: {error.message}") from error
    return joined(pieces), losses


def _quoted(source: str) -> str:
    """Return the text in quotes, with its escapes read as Jinja reads them."""
    return source[1:-1].encode("ascii", "backslashreplace").decode("unicode-escape")


def _statements(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each stretch: its kind (`data`, `variable` or `block`), its source, and its tokens without white space."""
    source: list[str] = []
    words: list[str] = []
    for _, token, value in _jinja.lex(text):
        if token in ("variable_end", "block_end"):
            yield token.removesuffix("_end"), "".join(source).strip(), words
        if token == "data":
            yield token, value, []
        elif token.endswith(("_begin", "_end")) or token.startswith("comment"):
            source, words = [], []
        else:
            source.append(value)
            words += [value] if token != "whitespace" else []


def handlebars_body(text: str) -> tuple[Body, list[str]]:
    """Read a body in the language of Handlebars. Calls of helpers at the top level stay in the text as blanks whose
    name begins with `@`, such as `@role "system"`. Raises `PromptFileBroken`.
    """
    losses: list[str] = []
    pieces: list[str | Blank] = []
    depth = at = 0
    for match in _HANDLEBARS.finditer(text):
        if match.start() < at:
            continue
        begin, end = match.span()
        mark, inner = match["mark"] or "", match["inner"] or ""
        if match["escaped"] is None and match["raw"] is None and (mark in ("#", "/", "^", ">") or not inner):
            begin, end = _alone(text, begin, end)
        if not depth:
            pieces.append(text[at : max(at, begin)])
        at = end
        if match["escaped"] is not None:
            pieces.append("" if depth else match["escaped"][1:])
        elif mark == "/":
            depth -= 1
        elif mark == "#" or (mark == "^" and inner):
            if not depth:
                pieces.append(Blank(blank_name(inner)))
                losses.append(f"{{{{#{inner}}}}}: one part with all that it writes, which may be empty")
            depth += 1
        elif not depth and (match["raw"] or inner):
            pieces.append(_value(mark, match["raw"] or inner, losses))
        if depth < 0:
            raise PromptFileBroken(f"{match[0]} closes nothing")
    if depth:
        raise PromptFileBroken("a {{#…}} of the prompt has no {{/…}}")
    return joined([*pieces, text[at:]]), losses


def _value(mark: str, inner: str, losses: list[str]) -> Blank:
    if mark == ">":
        losses.append(f"{{{{>{inner}}}}}: one part with all that it writes")
        return Blank(blank_name(inner))
    word = inner.split()[0]
    if word in ("role", "history", "media", "section"):
        return Blank(f"@{inner}")
    if not _NAME.fullmatch(inner):
        losses.append(f"{{{{{inner}}}}}: a part with the value as it is sent")
        return Blank(blank_name(inner))
    return Blank(inner)


def _alone(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the span of a tag with the whole line, if nothing else stands on the line. Handlebars drops such lines."""
    start = text.rfind("\n", 0, begin) + 1
    stop = text.find("\n", end)
    stop = len(text) if stop < 0 else stop + 1
    return (start, stop) if not text[start:begin].strip() and not text[end:stop].strip() else (begin, end)
