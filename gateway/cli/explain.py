"""`foreword explain`: shows the decisions about a request without calling a model."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.cli.config import config_option, load_settings, report
from gateway.errors import ConfigError, RequestError

BODY = ("messages", "input", "prompt")
"""The body of a request has at least one of these fields."""


@click.command()
@config_option
@click.argument("prompt")
@click.option("--model", default="", help="The model of the request. Default: the default model.")
@click.option("--collection", "collections", multiple=True, help="A collection to search. Repeatable.")
@click.option("--template", default="", help="Use this template instead of the one that matches.")
@click.option("--json", "as_json", is_flag=True, help="Print the same JSON as POST /v1/foreword/preview.")
def explain(config: Path, prompt: str, model: str, collections: tuple[str, ...], template: str, as_json: bool) -> None:
    """Show all decisions about PROMPT: intent, template, slots, chunks, route, and the resulting messages.

    PROMPT is a text, or a file with the JSON body of a chat completion or a response, or - for standard input. No model
    is called.

    \b
    Examples:
        foreword explain "Summarise in two sentences: The meeting was moved ..."
        foreword explain request.json --json
    """
    settings = load_settings(config)
    body = _body(prompt, model, collections, template)
    if template:
        from gateway.cli.templates.compare import library_of
        from gateway.cli.templates.options import find_template

        find_template(library_of(settings), template)
    try:
        shown = asyncio.run(_preview(settings, body))
    except ConfigError as error:
        report(error)
    except RequestError as error:
        click.secho(f"This request would be refused with {error.status}: {error.message}", fg="red", err=True)
        raise SystemExit(1) from None
    if as_json:
        click.echo(shown)
    else:
        _print(msgspec.json.decode(shown))


def _body(prompt: str, model: str, collections: tuple[str, ...], template: str) -> bytes:
    text = sys.stdin.read() if prompt == "-" else prompt
    path = Path(text) if len(text) < 1000 and "\n" not in text else None
    if path and path.suffix == ".json":
        try:
            return path.read_bytes()
        except OSError as error:
            raise click.UsageError(f"cannot read {path}: {error.strerror}") from None
    if text.lstrip().startswith("{") and any(f'"{field}"' in text for field in BODY):
        return text.encode()
    controls = {"collections": list(collections), "template": template}
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}], "foreword": controls})


async def _preview(settings: object, body: bytes) -> bytes:
    from gateway.ask import ClientKey
    from gateway.assembly.assemble import assemble
    from gateway.exchange import Exchange
    from gateway.settings.tables import Settings
    from gateway.wire import preview

    assert isinstance(settings, Settings)
    gateway = assemble(settings, only_prepare=True)
    try:
        ask = preview.ask(body, {})
        with Console(stderr=True).status("loading the models"):
            await gateway.load_prompt()
        exchange = await gateway.prepare(Exchange("explain", ask, ClientKey(name="local", admin=True), dry=True))
        return preview.shown(exchange, gateway.perform.body(exchange))
    finally:
        await gateway.aclose()


def _print(shown: dict[str, object]) -> None:
    console = Console()
    table = Table("stage", "decision", "why", "µs", box=None, header_style="bold", pad_edge=False)
    notes = shown["notes"]
    assert isinstance(notes, list)
    for note in notes:
        table.add_row(note["stage"], note["decision"], note["reason"], str(note["took_us"]))
    console.print(table)
    for note in notes:
        if "confidence" in note["data"]:
            data = note["data"]
            click.echo(f"intent {data['intent'] or 'unknown'}: confidence {data['confidence']:.2f}", nl=False)
            click.echo(f", improvable {data['improvable']:.2f}, language {data['language'] or 'unknown'}")
    after = shown["after"]
    assert isinstance(after, list)
    title = "sent to the model" if shown["changed"] else "sent unchanged"
    for message in after:
        text = Text(message["content"] or "(not plain text)")
        console.print(Panel(text, title=f"{title}: {message['role']}"))
