"""Options that the commands of `foreword templates` share, and the library that they open."""

import difflib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
from msgspec.structs import replace

from gateway.cli.config import add_languages, load_settings
from gateway.errors import TemplateError
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.names import id_of
from gateway.prompt.library.versions import VersionArchive
from gateway.prompt.templates.template import Template, read_ref
from gateway.settings.tables import Settings

F = TypeVar("F", bound=Callable[..., Any])

folder_option: Callable[[F], F] = click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Read this folder instead of the configured ones. Repeatable.",
)
json_option: Callable[[F], F] = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def folders_of(folders: Sequence[Path], config: Path) -> list[Path]:
    """Return the given folders, or else the configured ones. Exits if a folder does not exist."""
    missing = next((folder for folder in folders if not folder.is_dir()), None)
    if missing is not None:
        raise click.BadParameter(f"there is no folder {str(missing)!r}.", param_hint="'--folder'")
    if folders:
        return list(folders)
    settings = load_settings(config)
    return [_shown(settings.root / folder) for folder in settings.prompt.templates]


def open_library(folders: Sequence[Path], config: Path) -> tuple[Library, list[TemplateError]]:
    """Open the library of the given folders, or else of the configured folders and the archive."""
    if folders:
        add_languages(config)
        return load_library(folders_of(folders, config))
    from gateway.loading import archive_folder

    archive = VersionArchive(archive_folder(load_settings(config)))
    return load_library(folders_of(folders, config), archive, keep=False)


def settings_for(folders: Sequence[Path], config: Path) -> Settings:
    """Load the configuration. If `folders` are given, they replace the configured template folders."""
    settings = load_settings(config)
    if not folders:
        return settings
    prompt = replace(settings.prompt, templates=tuple(str(folder.resolve()) for folder in folders))
    return replace(settings, prompt=prompt)


def find_template(library: Library, ref: str) -> Template:
    """Find a template by `id`, `id@version` or the name of a family, also among archived versions.

    Exits if there is no such template.
    """
    id = id_of(library, ref.partition("@")[0]) or ref.partition("@")[0]
    try:
        name, version = read_ref(ref)
        template = library.get(id_of(library, name) or name, version)
    except TemplateError as error:
        raise click.ClickException(str(error)) from error
    except ValueError:
        template = None
    if template is None:
        known = {template.id for template in library.templates}
        hint = f"foreword templates history {id}" if id in known else _near(id, known)
        raise click.ClickException(f"there is no template {ref!r}; {hint}")
    return template


def _near(id: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(id, known, 3, 0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else "all names: foreword templates list"


def warn_of(errors: Sequence[TemplateError]) -> None:
    for error in errors:
        click.secho(f"left out: {error}", fg="yellow", err=True)


def echo_json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def refuse(reasons: Sequence[str]) -> NoReturn:
    """Print the reasons for a refusal and exit with status 1."""
    for reason in reasons:
        click.secho(reason, fg="red", err=True)
    raise SystemExit(1)


def _shown(path: Path) -> Path:
    """Return the path relative to the current folder if the path is inside that folder."""
    try:
        return path.resolve().relative_to(Path.cwd())
    except ValueError:
        return path
