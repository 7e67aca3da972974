"""Measures where `classify` spends CPU time on a prompt that the first tier decides, part by part, in one process.

Each part handles some hundred different prompts of about 300 characters. The result is the best of several rounds, in
microseconds of CPU per prompt.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from harness import texts
from harness.report import table

from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.context.embedding.static import load_static
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.classifier.lessons import read_seeds
from gateway.prompt.classifier.needs import lacks, needs
from gateway.prompt.classifier.rawness import measures
from gateway.prompt.classifier.train import Embedders, train
from gateway.prompt.classifier.view import Look, look
from gateway.prompt.language.detect import language_of
from gateway.prompt.library.library import load_library
from gateway.resources import locate
from gateway.settings.prompt import PromptTable

PROMPTS = 400


@click.command()
@click.option("--templates", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("templates"))
@click.option("--cache", type=click.Path(path_type=Path), default=Path("data"), help="The folder of the static table.")
@click.option("--rounds", default=12, show_default=True)
def main(templates: Path, cache: Path, rounds: int) -> None:
    """Print microseconds of CPU per prompt for each part."""
    sentence = SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path.cwd()))
    static = load_static(sentence, cache)
    library, _ = load_library([templates])
    classifier = Classifier(train(library, Embedders(static, sentence), read_seeds()), PromptTable(), static)
    prompts = texts.summaries(20_000)[:: 20_000 // PROMPTS]
    tier, looks = classifier.model.tiers["en"]["static"], classifier.model.rawness
    seen = [(one, static.embed([one.request])[0], measures(one)) for one in map(look, prompts)]
    parts: list[tuple[str, Callable[[], object]]] = [
        ("payload taken apart", lambda: [look(f"{prompt} ") for prompt in prompts]),
        ("language", lambda: [language_of(prompt) for prompt in prompts]),
        ("measures of its looks, and their verdict", lambda: [looks.judge(measures(one)) for one, _, _ in seen]),
        ("static embedding", lambda: [static.embed([one.request]) for one, _, _ in seen]),
        (
            "words, scores, likeness, gate, strongest words",
            lambda: [tier.judge(one, v) for one, v, _ in seen],
        ),
        ("what it lacks and needs", lambda: [_needed(one, measured) for one, _, measured in seen]),
        ("the whole of it", lambda: asyncio.run(_all(classifier, prompts))),
    ]
    rows = [[name, f"{min(_cpu_us(part) for _ in range(rounds)) / len(prompts):.0f}"] for name, part in parts]
    click.echo(table(["of a prompt that the first tier decides", "us of CPU"], rows))


def _needed(seen: Look, measured: list[float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return lacks(seen, measured, "en", intent=True), needs(seen, "en")


async def _all(classifier: Classifier, prompts: Sequence[str]) -> None:
    for prompt in prompts:
        await classifier.classify(prompt)


def _cpu_us(part: Callable[[], object]) -> float:
    began = time.process_time_ns()
    part()
    return (time.process_time_ns() - began) / 1000


if __name__ == "__main__":
    main()
