"""`foreword classifier`: the commands that train, show and measure the classifier, and explain a decision."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from gateway.cli.config import config_option, load_settings
from gateway.cli.listing import print_rows
from gateway.errors import ForewordError

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
DATA = click.option(
    "--data",
    "data",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Labelled prompts: JSON lines of {"text", "label"}, CLINC150\'s JSON, or CSV with text and category.',
)


@click.group()
def classifier() -> None:
    """Train, show and measure the classifier, which recognises the intent of a prompt.

    The classifier learns from the `match` and `not` examples of your templates; labelled prompts are optional. A
    running gateway loads a new model within seconds.

    \b
    Train on labelled prompts:     foreword classifier train --data tickets.jsonl --data oos.jsonl
    Show the model:                foreword classifier show
    Explain one decision:          foreword classifier why "what's the gist of this: ..."
    Measure on new prompts:        foreword classifier evaluate --data held_out.jsonl
    """


@classifier.command()
@config_option
@DATA
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write model and report to this folder, not to the gateway's model.",
)
@click.option("--no-templates", is_flag=True, help="Learn only from --data. Needs --out.")
@click.option("--forget", is_flag=True, help="Forget the labelled prompts of earlier trainings.")
@click.option("--threads", type=click.IntRange(1), default=None, help="CPU cores to use. Default: all.")
@JSON
def train(
    config: Path,
    data: tuple[Path, ...],
    out: Path | None,
    no_templates: bool,
    forget: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Train now, and print the quality on held-out examples.

    A prompt has no intent if its label is `oos`, `none` or "", or if its file is named oos*. With at least 100 such
    prompts, the classifier learns from them which prompts to leave unchanged. Labelled prompts are kept in the data
    folder and used by later trainings, until new ones or --forget replace them. confusion.txt and report.json are
    written beside the model.

    \b
    Examples:
        foreword classifier train
        foreword classifier train --data train.jsonl --data oos_train.jsonl
        foreword classifier train --data clinc150/train.jsonl --no-templates --out /tmp/clinc
    """
    from gateway.cli.classifier import work as work

    if no_templates and out is None:
        raise click.UsageError("--no-templates needs --out: the gateway's own model must know its templates")
    settings = load_settings(config)
    console, started = Console(stderr=True), time.perf_counter()
    with _refusals(), console.status("reading") as status:
        result = work.train(
            settings,
            data,
            out,
            templates=not no_templates,
            forget=forget,
            threads=threads,
            progress=lambda what: status.update(f"{what} ({time.perf_counter() - started:.0f} s)"),
        )
    if as_json:
        click.echo(msgspec.json.encode(result.report).decode())
        return
    _figures(result.report.figures)
    click.echo(result.confusion)
    click.echo(f"{result.report.prompts} prompts in {result.report.took_s:.0f} s; written to {result.folder}")


@classifier.command("train-tasks")
@config_option
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def train_tasks(config: Path, out: Path) -> None:
    """Train the head for tasks on long texts. The head learns from the shipped patterns to tell what a task needs.

    The gateway ships a trained head. Run this command after a change to the patterns in gateway/context/task/words. For
    each model, the command prints the share of tasks that the model classifies correctly. The patterns of these tasks
    are not used for training.

    \b
    Example:
        foreword classifier train-tasks --out gateway/context/task/head.npz
    """
    from gateway.cli.classifier import work as work

    console = Console(stderr=True)
    with _refusals(), console.status("training"):
        shares = work.train_tasks(load_settings(config), out)
    print_rows(("model", "right"), ((name, f"{share:.3f}") for name, share in shares.items()), right=("right",))


@classifier.command()
@config_option
@click.option(
    "--model", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder of another model."
)
@JSON
def show(config: Path, model: Path | None, as_json: bool) -> None:
    """Show the classifier's intents, examples, size, and quality on held-out examples."""
    from gateway.cli.classifier import work as work

    with _refusals():
        summary = work.shown(load_settings(config), model)
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
        return
    click.echo(
        f"{summary.folder}\nchecksum {summary.checksum[:16]}, {summary.megabytes:.1f} MB, format {summary.format}\n"
    )
    numbers = ("intents", "examples", "words", "temperature")
    rows = (
        (f"{tier.language} {tier.kind}", tier.intents, tier.examples, tier.words, f"{tier.temperature:.2f}")
        for tier in summary.tiers
    )
    print_rows(("tier", *numbers), rows, right=numbers)
    click.echo()
    _figures(summary.figures)


@classifier.command()
@config_option
@click.argument("text")
@click.option(
    "--model", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder of another model."
)
@JSON
def why(config: Path, text: str, model: Path | None, as_json: bool) -> None:
    """Explain the decision about TEXT: the request found in it, the nearest examples, the words, the gate.

    \b
    Reading the output:
      request   the instruction, without the text to work on
      chances   the probability of each intent, after temperature scaling; (none) means no template fits
      nearest   the most similar examples, by cosine
      gate      each feature, its value, and how much it adds to the score that some template fits
    """
    from gateway.cli.classifier import work as work

    with _refusals():
        explanation = asyncio.run(work.explained(load_settings(config), text, model))
    if as_json:
        click.echo(msgspec.json.encode(explanation).decode())
        return
    click.echo(
        f"request:  {explanation.request}"
        + (f"   (text to work on: {explanation.payload_rule})" if explanation.payload_rule else "")
    )
    click.echo(f"language: {explanation.language or 'none of ours'}")
    intent, decided_by = explanation.intent or "unknown", explanation.decided_by or "no tier"
    click.echo(f"intent:   {intent} ({explanation.confidence:.3f}), decided by {decided_by}")
    click.echo(f"lacks:    {', '.join(explanation.lacks) or '-'}\nneeds:    {', '.join(explanation.needs) or '-'}")
    click.echo(f"improvable {explanation.improvable:.3f}")
    for reason in explanation.reasons:
        click.echo(f"  {reason}")
    for tier in explanation.tiers:
        _tier(tier)


@classifier.command()
@config_option
@DATA
@click.option(
    "--model", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The folder of another model."
)
@JSON
def evaluate(config: Path, data: tuple[Path, ...], model: Path | None, as_json: bool) -> None:
    """Measure the classifier on labelled prompts that it was not trained on.

    \b
    Example:
        foreword classifier evaluate --data val.jsonl --data oos_val.jsonl
    """
    from gateway.cli.classifier import work as work

    if not data:
        raise click.UsageError("give at least one --data FILE of labelled prompts")
    with _refusals(), Console(stderr=True).status("measuring"):
        evaluation = asyncio.run(work.measured(load_settings(config), data, model))
    if as_json:
        click.echo(msgspec.json.encode({"figures": evaluation.figures, "unseen": evaluation.unseen}).decode())
        return
    _figures(evaluation.figures)
    click.echo(evaluation.confusion.text())
    if evaluation.unseen:
        click.secho(f"labels without training examples: {', '.join(evaluation.unseen)}", fg="yellow")


def _figures(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        click.echo(f"{value:10.0f}  {name}" if name.endswith("cases") else f"{value:10.3f}  {name}")
    click.echo()


def _tier(tier: Any) -> None:
    click.secho(f"\n{tier.tier}: {tier.intent} {tier.confidence:.3f}, no intent {tier.none:.3f}", bold=True)
    click.echo("  chances  " + ", ".join(f"{name or '(none)'} {chance:.3f}" for name, chance in tier.chances))
    click.echo("  words    " + ", ".join(f"{word} {push:+.2f}" for word, push in tier.words))
    for text, intent, cosine in tier.nearest:
        click.echo(f"  nearest  {cosine:.2f} {intent}: {' '.join(text.split())[:90]}")
    click.echo("  gate     " + ", ".join(f"{name} {value:.2f} ({push:+.2f})" for name, value, push in tier.gate))


class _refusals:  # noqa: N801  # it is named like a function, since it is used as `with _refusals():`
    """Print a Foreword error in one line and exit with status 1."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ForewordError):
            raise click.ClickException(str(error)) from error
