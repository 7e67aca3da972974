"""`foreword engines`: lists, compares and removes variants of local models, and measures engines.

The offline jobs add the commands that make variants, as entry points of the group `foreword.engine_commands`.
"""

import importlib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.backends.local import variants
from gateway.backends.local.variants import NoSuchVariant, StoredVariant, VariantInUse, VariantManifest
from gateway.cli.config import config_option, load_settings
from gateway.cli.engines.plot import plot_variants
from gateway.cli.listing import print_rows

GROUP = "foreword.engine_commands"
COMMANDS = {"probe-context": "gateway.cli.engines.probe:probe_context"}
"""Commands whose modules are imported only when the command is called."""
MB = 1 << 20
COLUMNS = ("variant", "scheme", "perplexity", "rise", "MB", "of f16", "read", "write 1", "write 8")


class EngineCommands(click.Group):
    """A group that imports some commands only when they are called, and reports a missing variant in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        others = {point.name for point in entry_points(group=GROUP)}
        return sorted({*super().list_commands(ctx), *COMMANDS, *others})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        point = next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        path = COMMANDS.get(cmd_name) or (point.value if point else None)
        if path is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = path.partition(":")
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (NoSuchVariant, VariantInUse) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=EngineCommands)
def engines() -> None:
    """Make, measure and remove variants of local models."""


@engines.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@config_option
def list_(as_json: bool, config: Path) -> None:
    """List all variants with their measurements."""
    stored = list(variants.stored_variants(load_settings(config).data_folder))
    if as_json:
        for variant in stored:
            click.echo(msgspec.json.encode(variant.manifest))
        return
    print_rows(COLUMNS, [_row(variant.manifest) for variant in stored], right=COLUMNS[2:])


@engines.command()
@click.argument("name")
@config_option
def show(name: str, config: Path) -> None:
    """Print the manifest of a variant as JSON."""
    stored = variants.stored_variant(load_settings(config).data_folder, name)
    click.echo(msgspec.json.format(msgspec.json.encode(stored.manifest)))


@engines.command()
@click.argument("names", nargs=-1)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Plot quality against size and speed into this PNG file.",
)
@config_option
def compare(names: tuple[str, ...], plot: Path | None, config: Path) -> None:
    """Compare the named variants, or all, by perplexity. The best comes first.

    Only variants of the same source model that were measured on the same text can be compared. Other variants are
    listed separately.
    """
    data = load_settings(config).data_folder
    chosen = [variants.stored_variant(data, name) for name in names] or list(variants.stored_variants(data))
    for text, group in _comparable(chosen).items():
        click.echo(text)
        rows = sorted((variant.manifest for variant in group), key=lambda manifest: manifest.after.llamacpp)
        print_rows(COLUMNS, [_row(manifest) for manifest in rows], right=COLUMNS[2:])
    if plot is not None:
        if not plot_variants([variant.manifest for variant in chosen], plot):
            raise click.ClickException('matplotlib is not installed; run: pip install "foreword[torch]"')
        click.echo(f"written to {plot}")


@engines.command()
@click.argument("name")
@config_option
def remove(name: str, config: Path) -> None:
    """Delete a variant. A variant that a configured backend uses is kept."""
    variants.remove_variant(load_settings(config), name)
    click.echo(f"{name} is removed")


def _row(manifest: VariantManifest) -> tuple[str, ...]:
    speeds = manifest.speeds
    return (
        manifest.name,
        "+".join(manifest.scheme),
        f"{manifest.after.llamacpp:.3f}",
        f"{manifest.rise:+.2%}",
        f"{manifest.bytes / MB:,.0f}",
        f"{manifest.bytes / manifest.bytes_f16:.2f}",
        f"{speeds.read:,.0f}",
        f"{speeds.write_1:,.0f}",
        f"{speeds.write_8:,.0f}",
    )


def _comparable(chosen: list[StoredVariant]) -> dict[str, list[StoredVariant]]:
    groups: dict[str, list[StoredVariant]] = {}
    for variant in chosen:
        manifest = variant.manifest
        evaluated = manifest.evaluation
        text = f"{manifest.source}, {evaluated.tokens:,} tokens of text {evaluated.sha256[:8]}"
        groups.setdefault(text, []).append(variant)
    return groups
