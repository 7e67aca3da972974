"""Measures the classifier on its own held-out examples and on public data.

    python benchmarks/classifier.py --data FOLDER [--templates templates] [--cache data] [--only templates|data]

FOLDER holds `clinc150/` (`train`, `val`, `oos_train`, `oos_val`), `banking77/` (`train`, `dev`), both as JSON lines of
text and label, and `bpo/dev.jsonl` (prompts with rewrites that people preferred). Missing data are skipped. `templates`
measures the library's classifier; `data` measures classifiers trained only on the labelled data, as `foreword
classifier train` and `evaluate` do. Embeddings are not cached, so the times are those of a first training.
"""

import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np

from gateway.context.embedding.batcher import Batcher
from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.context.embedding.static import load_static
from gateway.exchange import Intent
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.evaluate import evaluate
from gateway.prompt.classifier.labelled import read_labelled
from gateway.prompt.classifier.lessons import Seeds, read_seeds
from gateway.prompt.classifier.train import Embedders, train
from gateway.prompt.library.library import Library, load_library
from gateway.resources import locate
from gateway.settings.prompt import PromptTable


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--templates", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("templates"))
@click.option("--cache", type=click.Path(path_type=Path), default=Path("data"), help="The folder of the static table.")
@click.option("--only", type=click.Choice(["templates", "data"]), help="Run only one half.")
def main(data: Path, templates: Path, cache: Path, only: str | None) -> None:
    """Print the figures of docs/benchmarks.md, section *Classifier*."""
    sentence = SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path.cwd()))
    embedders = Embedders(load_static(sentence, cache), sentence)
    sentence.load()
    if only != "data":
        library, broken = load_library([templates])
        started, spent = time.perf_counter(), time.process_time()
        model = train(library, embedders, read_seeds())
        took, cpu = time.perf_counter() - started, time.process_time() - spent
        click.echo(
            f"trained on {len(library.templates)} templates ({len(broken)} broken) in {took:.1f} s, CPU {cpu:.1f}\n"
        )
        _show_training(model.report)
        batcher = Batcher(sentence)
        asyncio.run(_measure(Classifier(model, PromptTable(), embedders.static, batcher), batcher, data))
    if only != "templates":
        asyncio.run(_learned(embedders, data))


SETS = {
    "clinc150": (("train", "oos_train"), ("val", "oos_val")),
    "banking77": (("train",), ("dev",)),
}


async def _learned(embedders: Embedders, data: Path) -> None:
    """Train only on a set's labelled prompts, and measure the others with the whole cascade."""
    seeds = read_seeds()
    for name, (shown, held_out) in SETS.items():
        files = [data / name / f"{part}.jsonl" for part in (*shown, *held_out)]
        if not all(file.exists() for file in files):
            continue
        started, spent = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            looks = Seeds(seeds.improvable, seeds.pairs, ())
            model = train(Library(), embedders, looks, read_labelled(files[: len(shown)]), Path(folder))
        took, cpu = time.perf_counter() - started, time.process_time() - spent
        batcher = Batcher(embedders.sentence)
        rows = read_labelled(files[len(shown) :])
        random.Random(0).shuffle(rows := list(rows))
        found = await evaluate(Classifier(model, PromptTable(), embedders.static, batcher), rows)
        await batcher.aclose()
        click.echo(f"\n| {name}, {len(rows)} held-out prompts, one at a time | |\n|---|---|")
        click.echo(f"| training: s, of CPU | {took:.0f}, {cpu:.0f} |")
        for figure, value in found.figures.items():
            click.echo(f"| {figure} | {value:.0f} |" if figure == "cases" else f"| {figure} | {value:.3f} |")


def _show_training(report: dict[str, float]) -> None:
    """Print the held-out figures of each tier. Five folds; no model judges an example that it has seen."""
    tiers = list(dict.fromkeys(name.split(" ", 2)[0] + " " + name.split(" ", 2)[1] for name in report))
    names = list(dict.fromkeys(name.split(" ", 2)[2] for name in report))
    click.echo("| held out, 5 folds | " + " | ".join(tiers) + " |\n|---|" + "---|" * len(tiers))
    for name in names:
        row = [report[f"{tier} {name}"] for tier in tiers]
        click.echo(
            f"| {name} | " + " | ".join(f"{value:.0f}" if name == "cases" else f"{value:.3f}" for value in row) + " |"
        )


async def _measure(classifier: Classifier, batcher: Batcher, data: Path) -> None:
    chance = random.Random(0)
    outside = {
        "clinc150 out of scope": _texts(data / "clinc150/oos_val.jsonl", chance, 100),
        "clinc150 in its own scope": _texts(data / "clinc150/train.jsonl", chance, 200),
        "banking77": _texts(data / "banking77/dev.jsonl", chance, 100),
    }
    click.echo(
        "\n| prompts of other applications | n | taken for one of ours | first tier decides |\n|---|---|---|---|"
    )
    for name, texts in outside.items():
        if texts:
            found, _ = await _classify(classifier, texts)
            click.echo(f"| {name} | {len(texts)} | {_share(i.known for i in found)} | {_first(found)} |")
    if (data / "bpo/dev.jsonl").exists():
        rows = [json.loads(line) for line in (data / "bpo/dev.jsonl").read_text("utf-8").splitlines()]
        await _pairs(classifier, [(row["prompt"].strip(), row["optimized_prompt"].strip()) for row in rows])
    await batcher.aclose()


async def _pairs(classifier: Classifier, rows: Sequence[tuple[str, str]]) -> None:
    """Compare which of a pair looks more improvable. Rewrites that changed nothing are skipped."""
    rows = [row for row in rows if row[0] != row[1]]
    raw, raw_us = await _classify(classifier, [before for before, _ in rows])
    better, _ = await _classify(classifier, [after for _, after in rows])
    floor = PromptTable().improvable
    pairs = list(zip(raw, better, strict=True))
    click.echo(f"\n| real prompts and their preferred rewrites, n = {len(rows)} | |\n|---|---|")
    click.echo(f"| the original looks more improvable | {_share(a.improvable > b.improvable for a, b in pairs)} |")
    auroc = _auroc([intent.improvable for intent in raw], [intent.improvable for intent in better])
    click.echo(f"| AUROC original against rewrite | {auroc:.3f} |")
    click.echo(f"| rewrites at or over {floor} (false alarms) | {_share(i.improvable >= floor for i in better)} |")
    click.echo(f"| originals at or over {floor} | {_share(i.improvable >= floor for i in raw)} |")
    click.echo(f"| originals with a known intent | {_share(i.known for i in raw)} |")
    click.echo(f"| first tier decides | {_first(raw)} |")
    for tier in ("static", "sentence"):
        spent = [us for us, intent in zip(raw_us, raw, strict=True) if intent.tier == tier]
        if spent:
            click.echo(
                f"| {tier} tier, µs a query: median, p90 | {np.median(spent):.0f}, {np.quantile(spent, 0.9):.0f} |"
            )


async def _classify(classifier: Classifier, texts: Sequence[str]) -> tuple[list[Intent], list[float]]:
    """Return the intents, and the time of each in µs, waiting included."""
    found, spent = [], []
    for text in texts:
        started = time.perf_counter()
        found.append(await classifier.classify(text))
        spent.append((time.perf_counter() - started) * 1e6)
    return found, spent


def _texts(file: Path, chance: random.Random, limit: int) -> list[str]:
    if not file.exists():
        return []
    texts = [json.loads(line)["text"] for line in file.read_text("utf-8").splitlines()]
    return chance.sample(texts, min(limit, len(texts)))


def _share(found: Iterable[bool]) -> str:
    """Format a share with half its 95 % interval, such as `0.81 ± 0.08`."""
    values = np.array(list(found), dtype=float)
    share = float(values.mean())
    return f"{share:.3f} ± {1.96 * (share * (1 - share) / len(values)) ** 0.5:.3f}"


def _first(found: Sequence[Intent]) -> str:
    return _share(intent.tier != "sentence" for intent in found)


def _auroc(high: Sequence[float], low: Sequence[float]) -> float:
    above = np.array(high)[:, None] - np.array(low)[None, :]
    return float((above > 0).mean() + (above == 0).mean() / 2)


if __name__ == "__main__":
    main()
