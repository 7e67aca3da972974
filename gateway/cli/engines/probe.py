"""`foreword engines probe-context`: measures the usable context of an engine."""

from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.cli.config import config_option, load_settings


@click.command("probe-context")
@config_option
@click.argument("name")
@click.option(
    "--text",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A long plain text file in a language that the model knows.",
)
@click.option("--tokens", default=1536, show_default=True, help="Tokens of text per measurement.")
@click.option("--keys", default=8, show_default=True, type=click.IntRange(1, 16), help="Number of hidden pass-keys.")
@click.option("--dry-run", is_flag=True, help="Print the measurements without saving them.")
@click.option("--json", "as_json", is_flag=True, help="Print the profile as JSON. Progress goes to standard error.")
def probe_context(config: Path, name: str, text: Path, tokens: int, keys: int, dry_run: bool, as_json: bool) -> None:
    """Measure how much context backend NAME (kind `torch`) can use, and which position method is best beyond the
    trained window.

    Perplexity and pass-key retrieval are measured at the trained window and beyond, with each method. Then the model
    must find one of many similar passages, at growing lengths. The usable and the effective window are written to the
    data folder, with a plot. The gateway uses both windows after its next start.

    \b
    Example:
        foreword engines probe-context torch --text novel.txt
    """
    settings = load_settings(config)
    table = settings.backends.get(name)
    if table is None or table.kind != "torch":
        able = ", ".join(key for key, entry in settings.backends.items() if entry.kind == "torch") or "none"
        raise click.UsageError(f'{name!r} is not a backend of kind "torch" in {config}; choose from: {able}')
    profile, trained = _measured(settings, name, text.read_text("utf-8"), tokens, keys, to_stderr=as_json)
    if as_json:
        click.echo(msgspec.json.encode(profile))
    click.echo(f"usable window: {profile.window_tokens} tokens (trained for {trained})", err=as_json)
    click.echo(f"effective window: {profile.well_tokens or 'not measured'}", err=as_json)
    if not dry_run:
        from gateway.backends.local.profile import write

        path = write(settings.data_folder, name, profile)
        plot = _plot(profile, trained, path.with_suffix(".png"))
        click.echo(f"written to {path}" + (f" and {plot}" if plot else ""), err=as_json)


def _measured(settings: Any, name: str, text: str, tokens: int, keys: int, *, to_stderr: bool) -> Any:
    import torch

    from gateway.adapters import Parts, build_adapter
    from gateway.backends.local.torch_engine.probe import concluded, document, look_ups, sweep

    problems: list[Any] = []
    backend = build_adapter("backends", name, settings.backends[name], Parts(settings), problems)
    if problems:
        raise click.ClickException("; ".join(map(str, problems)))
    torch.set_num_threads(backend.threads)
    engine = backend.load()
    try:
        try:
            read = document(engine.tokens, text, tokens, keys)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        click.echo(f"{'length':>8}  {'positions':12} {'perplexity':>10}  keys found", err=to_stderr)
        measured = []
        for point in sweep(engine.model, engine.positions, read):
            measured.append(point)
            click.echo(
                f"{point.length:8}  {point.method:12} {point.perplexity:10.1f}  {point.right} of {point.keys}",
                err=to_stderr,
            )
        click.echo(f"{'length':>8}  look-ups among similar passages", err=to_stderr)
        looked = []
        for look_up in look_ups(engine.model, engine.tokens, text, engine.positions.trained_tokens):
            looked.append(look_up)
            click.echo(f"{look_up.length:8}  {look_up.right} of {look_up.keys}", err=to_stderr)
    finally:
        engine.close()
    return concluded(engine.positions.trained_tokens, measured, looked), engine.positions.trained_tokens


def _plot(profile: Any, trained: int, path: Path) -> Path | None:
    """Plot perplexity against length, with one line for each method. Returns None if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    native = [point for point in profile.measured if point.length <= trained]
    for method in dict.fromkeys(point.method for point in profile.measured):
        own = [point for point in profile.measured if point.method == method and point.length > trained]
        line = [*native, *own] if method == "native" else [*native[-1:], *own]
        axes.plot([point.length for point in line], [point.perplexity for point in line], marker="o", label=method)
    axes.axvline(trained, color="grey", linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="length in tokens (dotted: trained)", ylabel="perplexity far behind")
    axes.legend()
    figure.savefig(path, dpi=120)
    return path
