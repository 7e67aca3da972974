"""`foreword templates`: look at the template library, write templates, check them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.compare import compare
from gateway.cli.config import config_option, load_settings
from gateway.errors import TemplateError
from gateway.prompt.cases import render_for
from gateway.prompt.fields import ID, Language, Technique
from gateway.prompt.frontmatter import suggest
from gateway.prompt.library import Library, load_library
from gateway.prompt.lint import Level, lint
from gateway.prompt.rewrite import Kept
from gateway.prompt.scaffold import scaffold
from gateway.prompt.template import Template
from gateway.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

folder_option: Callable[[F], F] = click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Look here instead of in the folders that the configuration names. May be given again.",
)
json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


@click.group()
def templates() -> None:
    """The template library: list, show, new, lint, test.

    \b
    Start a template:     foreword templates new templates/refund/en.prompt.md
    Find mistakes:        foreword templates lint
    See what it makes:    foreword templates show refund.en --query "I want my money back"
    Try it:               foreword templates test refund.en
    """


templates.add_command(compare)


@templates.command("list")
@folder_option
@json_option
@config_option
def list_(folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """All templates, with their intents.

    \b
    foreword templates list
    foreword templates list --json | jq -r '.[] | select(.status == "active") | .id'
    """
    library, errors = open_library(folders, config)
    rows = [_row(template) for template in sorted(library.templates, key=lambda t: (t.intent.name, t.id))]
    if as_json:
        echo_json(rows)
    else:
        table = Table(box=None, header_style="bold")
        shown = ("id", "version", "status", "language", "intent", "technique", "match")
        for name in shown:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(escape(str(row[name])) for name in shown))
        Console().print(table)
    warn_of(errors)


@templates.command()
@click.argument("id")
@click.option("--query", default="", help="Fill the slots from this query and show the messages.")
@folder_option
@json_option
@config_option
def show(id: str, query: str, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """One template, or the messages that it makes of a query.

    \b
    foreword templates show summarise.en
    foreword templates show summarise.en --query "Summarise this: The sea is wide."

    With a pool of examples, --query shows the first ones of the pool; a request gets the nearest.
    """
    library, errors = open_library(folders, config)
    template = find_template(library, id)
    if not query:
        source = Path(template.file).read_text("utf-8")
        if as_json:
            echo_json({**_row(template), "source": source})
        else:
            click.echo(source)
        warn_of(errors)
        return
    try:
        turns = render_for(template, query)
    except (Kept, TemplateError) as error:
        raise click.ClickException(f"the query would go to the model as it is: {error}") from error
    if as_json:
        echo_json([{"role": turn.role, "content": turn.text} for turn in turns])
        return
    for turn in turns:
        click.secho(f"{turn.role}:", bold=True)
        click.echo(turn.text + "\n")


@templates.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--id", "id", default="", help="Its id; left out: made from the path.")
@click.option("--intent", default="", help="The intent it is for; left out: the folder's name.")
@click.option("--language", type=click.Choice([str(name) for name in Language]), default="en", show_default=True)
@click.option("--technique", type=click.Choice([str(name) for name in Technique]), default="direct", show_default=True)
def new(path: Path, id: str, intent: str, language: str, technique: str) -> None:
    """Write a new template to PATH, complete and full of lines to replace.

    \b
    foreword templates new templates/refund/en.prompt.md
    foreword templates new templates/refund/zh.prompt.md --language zh --technique few-shot
    """
    if not path.name.endswith(".prompt.md"):
        raise click.ClickException(f"{path.name} must end in .prompt.md, or the library does not see it")
    if path.exists():
        raise click.ClickException(f"{path} is there already; delete it first or choose another name")
    folder = path.resolve().parent.name.lower()
    id = id or f"{folder}.{path.name.removesuffix('.prompt.md').lower()}"
    intent = intent or folder
    for name, value in (("--id", id), ("--intent", intent)):
        if not ID.fullmatch(value):
            raise click.ClickException(f"{value!r} is not lower-case words joined by - or .; give {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scaffold(id, intent, Language(language), Technique(technique)), "utf-8")
    click.echo(f"Wrote {path}. Replace its lines, then: foreword templates lint --folder {path.parent}")


@templates.command("lint")
@click.option("--strict", is_flag=True, help="Let warnings count as errors.")
@folder_option
@json_option
@config_option
def lint_(strict: bool, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Find what is wrong: file:line:column: what. Exits with 1 if there is an error.

    \b
    foreword templates lint
    foreword templates lint --folder my-templates --strict
    """
    library, errors = open_library(folders, config)
    found = lint(library, errors)
    bad = [finding for finding in found if strict or finding.level is Level.ERROR]
    if as_json:
        echo_json(found)
    else:
        for finding in found:
            click.echo(str(finding))
        warnings = len(found) - sum(finding.level is Level.ERROR for finding in found)
        checked = len(library.templates) + len({error.file for error in errors})
        click.echo(f"{checked} files: {len(found) - warnings} errors, {warnings} warnings", err=True)
    raise SystemExit(1 if bad else 0)


@templates.command("test")
@click.argument("ids", nargs=-1)
@click.option("--no-classifier", is_flag=True, help="Run only the `tests:` of the files; loads no model.")
@folder_option
@json_option
@config_option
def test_(ids: tuple[str, ...], no_classifier: bool, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Run the tests of all templates, or of those named. Exits with 1 if one fails.

    \b
    foreword templates test
    foreword templates test summarise.en translate.zh
    foreword templates test --no-classifier

    The `tests:` of a file check the messages that it makes. Then the classifier, trained as the
    gateway trains it, must give each `match` example of an active template its intent, and must
    not give it to a `not` example. No chat model is called.
    """
    from gateway.cli.template_tests import run

    library, errors = open_library(folders, config)
    chosen = [find_template(library, id) for id in ids] or list(library.templates)
    settings = None if no_classifier else settings_for(folders, config)
    report = run(chosen, settings)
    if as_json:
        echo_json(report)
    else:
        for failure in report.failures:
            click.echo(str(failure))
        click.echo(report.summary, err=True)
    warn_of(errors)
    raise SystemExit(1 if report.failures or errors else 0)


def open_library(folders: Sequence[Path], config: Path) -> tuple[Library, list[TemplateError]]:
    """The library of these folders, or of those that the configuration names."""
    if not folders:
        settings = load_settings(config)
        folders = [_shown(settings.root / folder) for folder in settings.prompt.templates]
    return load_library(folders)


def settings_for(folders: Sequence[Path], config: Path) -> Settings:
    """The configuration, with these folders as its library if there are any."""
    settings = load_settings(config)
    if not folders:
        return settings
    prompt = replace(settings.prompt, templates=tuple(str(folder.resolve()) for folder in folders))
    return replace(settings, prompt=prompt)


def find_template(library: Library, ref: str) -> Template:
    id, _, version = ref.partition("@")
    template = library.get(id, int(version) if version.isdigit() else None)
    if template is None:
        raise click.ClickException(f"there is no template {ref!r}; {suggest(id, {t.id for t in library.templates})}")
    return template


def warn_of(errors: Sequence[TemplateError]) -> None:
    for error in errors:
        click.secho(f"left out: {error}", fg="yellow", err=True)


def echo_json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _row(template: Template) -> dict[str, Any]:
    return {
        "id": template.id,
        "version": template.version,
        "status": template.status,
        "language": template.language,
        "intent": template.intent.name,
        "technique": template.technique,
        "match": len(template.intent.match),
        "slots": list(template.slots),
        "description": template.description,
        "file": template.file,
        "digest": template.digest,
    }


def _shown(path: Path) -> Path:
    """The path as short as it can be written from here."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
