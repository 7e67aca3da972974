"""`foreword templates preview`, `diff` and `history`: show versions and their differences."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from gateway.ask import Turn
from gateway.backends.openai_tokens import Counter
from gateway.cli.config import config_option
from gateway.cli.templates.options import echo_json, find_template, folder_option, json_option, open_library, warn_of
from gateway.errors import RequestError, TemplateError
from gateway.exchange import SlotValue
from gateway.prompt.authoring.cases import sample
from gateway.prompt.authoring.history import HistoryVersion, history, lineage
from gateway.prompt.compose import compose, fill_or_keep
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.named_prompt import QUERY, fill_named
from gateway.prompt.templates.template import Template

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@click.argument("ref")
@click.option("--query", default="", help="Fill the slots from this query. - reads the query from standard input.")
@click.option("--slots", multiple=True, metavar="NAME=VALUE", help="Set the value of a slot. Repeatable.")
@folder_option
@json_option
@config_option
def preview(
    ref: str, query: str, slots: tuple[str, ...], folders: tuple[Path, ...], as_json: bool, config: Path
) -> None:
    """Show the messages of REF (`id` or `id@version`), its slots and its tokens.

    \b
    foreword templates preview summarise.en --query "Summarise this: The sea is wide."
    foreword templates preview refund.en@2 --query "refund order 12" --slots tone=formal
    cat letter.txt | foreword templates preview polish-text.en --query -

    No model is called. If the template selects its examples from a pool, the first examples of the pool are shown. A
    request gets the examples nearest to its text. Tokens are counted with the encoding of recent OpenAI models. Other
    models differ a little.
    """
    library, errors = open_library(folders, config)
    template = find_template(library, ref)
    given = _given(slots)
    query = sys.stdin.read() if query == "-" else query
    if not query and not given:
        slots_too = f", or --slots NAME=VALUE for {', '.join(template.slots)}" if template.slots else ""
        raise click.ClickException(f"{template.ref} needs --query TEXT{slots_too}")
    try:
        turns, values = _rendered(template, query, given)
    except RequestError as error:
        raise click.ClickException(_for_the_shell(template, error)) from error
    except (KeptAsIs, TemplateError) as error:
        raise click.ClickException(f"the query would be sent unchanged:  {error}") from error
    tokens = Counter()
    counts = [tokens.count(turn.text) for turn in turns]
    if as_json:
        messages = [
            {"role": turn.role, "content": turn.text, "tokens": count}
            for turn, count in zip(turns, counts, strict=True)
        ]
        echo_json({"template": template.ref, "messages": messages, "slots": values, "tokens": sum(counts)})
        return
    for turn, count in zip(turns, counts, strict=True):
        click.secho(f"{turn.role} ({count} tokens):", bold=True)
        click.echo(turn.text + "\n")
    for slot in values:
        where = f" at {slot.start}-{slot.end}" if slot.start >= 0 else ""
        click.echo(f"{slot.name} = {slot.value!r} (from {slot.source}{where})", err=True)
    click.echo(f"{template.ref}: {sum(counts)} tokens, {tokens.count(query)} of them from the query", err=True)
    warn_of(errors)


@click.command()
@click.argument("a")
@click.argument("b")
@folder_option
@json_option
@config_option
def diff(a: str, b: str, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Show the changes from version A to version B: text, tokens and measured scores.

    \b
    foreword templates diff summarise.en@1 summarise.en@2
    foreword templates diff summarise.en@1 summarise.en --json | jq .tokens

    To compare the versions by the records: foreword templates compare A B
    """
    library, _ = open_library(folders, config)
    before, after = find_template(library, a), find_template(library, b)
    lines = list(
        difflib.unified_diff(
            _lines(before), _lines(after), f"{before.ref} {before.file}", f"{after.ref} {after.file}", lineterm=""
        )
    )
    counter = Counter()
    tokens = [sum(counter.count(part.source) for part in template.parts) for template in (before, after)]
    scores = [dict(template.provenance.scores) for template in (before, after)]
    if as_json:
        echo_json({"a": before.ref, "b": after.ref, "diff": lines, "tokens": tokens, "scores": scores})
        return
    for line in lines:
        click.secho(line, fg=COLOURS.get(line[:1]), bold=line.startswith(("+++", "---")))
    click.echo(f"tokens of the body: {tokens[0]} -> {tokens[1]} ({tokens[1] - tokens[0]:+})")
    for name in dict.fromkeys([*scores[0], *scores[1]]):
        click.echo(f"{name}: {scores[0].get(name, '-')} -> {scores[1].get(name, '-')}")
    if not lines:
        click.echo("the texts are the same")


@click.command("history")
@click.argument("id")
@folder_option
@json_option
@config_option
def history_(id: str, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """List all versions of ID, each below its parent: status, date, digest, origin.

    \b
    foreword templates history summarise.en
    foreword templates history summarise.en --json | jq '.[] | select(.speaks) | .version'

    The gateway archives each version that it loads, except drafts, so older versions stay available after the file has
    changed. `changed without a new version` marks content that replaced other content under the same version number.
    """
    library, errors = open_library(folders, config)
    versions = history(library, id)
    if not versions:
        find_template(library, id)
    if as_json:
        echo_json(msgspec.to_builtins(versions))
        return
    for depth, version in lineage(versions):
        click.echo("  " * depth + _line_of(version))
    warn_of(errors)


def _line_of(version: HistoryVersion) -> str:
    marks = [
        *(["in use"] if version.speaks else []),
        *([f"canary for {version.canary:.0%}"] if version.canary else []),
        *(["changed without a new version"] if version.count > 1 else []),
    ]
    made = version.provenance
    origin = " ".join(word for word in (made.origin, made.author, made.run) if word)
    scores = ", ".join(f"{name} {value}" for name, value in made.scores.items())
    columns = [version.seen or "not loaded yet", version.content, origin, scores, ", ".join(marks)]
    return f"{version.ref} {version.status}  " + "  ".join(text for text in columns if text)


def _for_the_shell(template: Template, error: RequestError) -> str:
    """Return the error's text, with the command's options in place of the request's parameters."""
    name = (error.param or "").removeprefix("prompt.variables.")
    options = "--query" if name == QUERY else f"--query TEXT, or --slots {name}=VALUE"
    if error.code == "missing_required_parameter":
        return f"{template.ref} needs {options}"
    return error.message.replace(f"'{error.param}'", f"--slots {name}")


def _given(slots: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in slots]
    for name, sign, _ in pairs:
        if not sign:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--slots")
    return {name: value for name, _, value in pairs}


def _rendered(
    template: Template, query: str, given: Mapping[str, str]
) -> tuple[tuple[Turn, ...], tuple[SlotValue, ...]]:
    """Return the messages and slots for a query, or for given slot values.

    Given values are treated like those in a request that names the template. Raises `KeptAsIs`, `TemplateError` or
    `RequestError`.
    """
    shots, labels = sample(template)
    if given or not query:
        filled = fill_named(template, {**given, **({QUERY: query} if query else {})})
        return template.render(filled.values, shots, labels), filled.slots
    made = compose(template, fill_or_keep(template, query), query, shots, labels)
    return made.turns, made.slots


def _lines(template: Template) -> list[str]:
    return Path(template.file).read_text("utf-8").splitlines()
