"""`foreword templates`: lists, shows, creates, lints and tests templates."""

from pathlib import Path
from typing import Any

import click

from gateway.backends.openai_tokens import Counter
from gateway.cli.collections.parts import embedder
from gateway.cli.config import config_option, load_settings
from gateway.cli.listing import print_rows
from gateway.cli.templates.compare import compare
from gateway.cli.templates.options import (
    echo_json,
    find_template,
    folder_option,
    json_option,
    open_library,
    settings_for,
    warn_of,
)
from gateway.cli.templates.promote_commands import promote, reload, retire, rollback
from gateway.cli.templates.report import report
from gateway.cli.templates.resume import resume, standing_of
from gateway.cli.templates.views import diff, history_, preview
from gateway.errors import TemplateError
from gateway.prompt.authoring.cases import render_for
from gateway.prompt.authoring.lint import lint
from gateway.prompt.authoring.scaffold import scaffold
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.templates.fields import ID, Language, Technique
from gateway.prompt.templates.findings import Severity
from gateway.prompt.templates.template import Template
from gateway.settings.tables import Settings


@click.group()
def templates() -> None:
    """The template library: create, check, show, promote and compare templates.

    \b
    Start a template:     foreword templates new templates/refund/en.prompt.md
    Find mistakes:        foreword templates lint
    See its messages:     foreword templates preview refund.en --query "I want my money back"
    Run its tests:        foreword templates test refund.en
    Put it to use:        foreword templates promote refund.en     (draft, candidate, canary, active)
    Undo a promotion:     foreword templates rollback refund.en
    Report their use:     foreword templates report --since 7d
    Resume a template that the job `watch` stopped:
                          foreword templates resume refund.en
    """


for command in (preview, diff, history_, promote, retire, rollback, resume, reload):
    templates.add_command(command)
templates.add_command(compare)
templates.add_command(report)


@templates.command("list")
@folder_option
@json_option
@config_option
def list_(folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """List all templates with their intents.

    \b
    foreword templates list
    foreword templates list --json | jq -r '.[] | select(.status == "active") | .id'

    The column "against controls" shows the result of the job `watch`. A "settled" template is no worse than its
    controls. A "shadow" template was worse, and changes no prompt until `foreword templates resume`. --json shows the
    reason.
    """
    library, errors = open_library(folders, config)
    settings = None if folders else load_settings(config)
    templates = sorted(library.templates, key=lambda t: (t.intent.name, t.id))
    rows = [_row(template) | _against_controls(settings, template) for template in templates]
    if as_json:
        echo_json(rows)
    else:
        shown = ("id", "version", "status", "language", "intent", "technique", "match", "against_controls")
        header = [name.replace("_", " ") for name in shown]
        print_rows(header, ([row[name] for name in shown] for row in rows), right=("version", "match"))
    warn_of(errors)


@templates.command()
@click.argument("id")
@click.option("--query", default="", help="Fill the slots from this query and show the messages.")
@folder_option
@json_option
@config_option
def show(id: str, query: str, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Show one template, or its messages for a query.

    \b
    foreword templates show summarise.en
    foreword templates show summarise.en --query "Summarise this: The sea is wide."

    If the template selects its examples from a pool, --query shows the first examples of the pool. A request gets the
    examples that are nearest to its text.
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
    except (KeptAsIs, TemplateError) as error:
        raise click.ClickException(f"the query would be sent unchanged:  {error}") from error
    if as_json:
        echo_json([{"role": turn.role, "content": turn.text} for turn in turns])
        return
    for turn in turns:
        click.secho(f"{turn.role}:", bold=True)
        click.echo(turn.text + "\n")


@templates.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--id", "id", default="", help="The id of the template. Default: made from the path.")
@click.option("--intent", default="", help="The intent of the template. Default: the name of the folder.")
@click.option("--language", type=click.Choice([str(name) for name in Language]), default="en", show_default=True)
@click.option("--technique", type=click.Choice([str(name) for name in Technique]), default="direct", show_default=True)
@json_option
def new(path: Path, id: str, intent: str, language: str, technique: str, as_json: bool) -> None:
    """Write a new template to PATH, with placeholder lines to replace.

    \b
    foreword templates new templates/refund/en.prompt.md
    foreword templates new templates/refund/zh.prompt.md --language zh --technique few-shot
    """
    if not path.name.endswith(".prompt.md"):
        raise click.ClickException(f"{path.name} must end in .prompt.md; the library ignores other files")
    if path.exists():
        raise click.ClickException(f"{path} already exists; delete it first or choose another name")
    folder = path.resolve().parent.name.lower()
    id = id or f"{folder}.{path.name.removesuffix('.prompt.md').lower()}"
    intent = intent or folder
    for name, value in (("--id", id), ("--intent", intent)):
        if not ID.fullmatch(value):
            raise click.ClickException(f"{value!r} is not lower-case words joined by - or .; give {name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(scaffold(id, intent, Language(language), Technique(technique)), "utf-8")
    if as_json:
        echo_json({"file": str(path), "id": id, "intent": intent, "language": language, "technique": technique})
        return
    click.echo(f"Wrote {path}. Replace the placeholder lines, then run: foreword templates lint --folder {path.parent}")


@templates.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="")
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option(
    "--similar", is_flag=True, help="Also compare examples of different intents by meaning. Loads [embedder]."
)
@folder_option
@json_option
@config_option
def lint_(
    paths: tuple[Path, ...], strict: bool, similar: bool, folders: tuple[Path, ...], as_json: bool, config: Path
) -> None:
    """Find mistakes. Prints file:line:column: mistake; remedy [code]. Exits with 1 if there is an error.

    \b
    foreword templates lint
    foreword templates lint --folder my-templates --strict
    foreword templates lint --json | jq -r '.[] | select(.code == "secret") | .file'

    Lint finds unknown slots, templates that are never used, examples that two intents share, missing translations,
    bodies over their budget, bodies without the user's text, changes without a new version number, and secrets.
    """
    if paths:
        folder = next((path for path in (paths[0], *paths[0].parents) if path.is_dir()), Path())
        raise click.UsageError(
            f"a single file cannot be linted; lint its folder:  foreword templates lint --folder {folder}"
        )
    library, errors = open_library(folders, config)
    embed = embedder(load_settings(config)).embed if similar else None
    findings = lint(library, errors, Counter().count, embed)
    counted = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    bad = [finding for finding in findings if finding.level in counted]
    if as_json:
        echo_json(findings)
    else:
        for finding in findings:
            click.echo(str(finding))
        wrong, warnings = (
            sum(finding.level is level for finding in findings) for level in (Severity.ERROR, Severity.WARNING)
        )
        broken = {error.file for error in errors if not error.what.startswith("is not a folder")}
        checked = len({template.file for template in library.templates} | broken)
        click.echo(f"{checked} files: {wrong} errors, {warnings} warnings", err=True)
    raise SystemExit(1 if bad else 0)


@templates.command("test")
@click.argument("ids", nargs=-1)
@click.option("--no-classifier", is_flag=True, help="Run only the `tests:` of the files, without loading a model.")
@folder_option
@json_option
@config_option
def test_(ids: tuple[str, ...], no_classifier: bool, folders: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Run the tests of all templates, or of the templates with these IDS. Exits with 1 if a test fails.

    \b
    foreword templates test
    foreword templates test summarise.en translate.zh
    foreword templates test --no-classifier

    The `tests:` of a file check the messages that its template makes. Then the classifier is trained as in the gateway.
    The classifier must recognise the intent of each active template in every `match` example, and in no `not` example.
    No chat model is called.
    """
    from gateway.cli.templates.example_tests import run

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


def _against_controls(settings: Settings | None, template: Template) -> dict[str, str]:
    standing = standing_of(settings, template) if settings is not None else None
    if standing is None:
        return {"against_controls": "", "reason": ""}
    return {"against_controls": str(standing.state), "reason": standing.reason}


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
