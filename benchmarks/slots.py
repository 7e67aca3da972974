"""Measures what splitting a prompt, filling slots, rendering and guarding cost in this process.

    python benchmarks/slots.py [--rounds 25]

CPU time of the process, best of several rounds, over the templates' own match examples and over prompts that ask for a
summary. Nothing is cached from one prompt to the next.
"""

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time_ns

import click
from harness.report import table
from harness.texts import summaries

from gateway.prompt.compose import compose
from gateway.prompt.examples import fixed_labels
from gateway.prompt.guards import hostile, lost
from gateway.prompt.language import payload
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.slots.fill import FilledSlots, fill
from gateway.prompt.templates.template import Template

Pairs = Sequence[tuple[Template, str]]


@click.command()
@click.option("--rounds", default=25, show_default=True)
@click.option("--templates", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("templates"))
def main(rounds: int, templates: Path) -> None:
    """Print the figures of docs/benchmarks.md, section *Slots and guards*."""
    library, _ = load_library([templates])
    rows = []
    for name, pairs in _sets(library).items():
        filled = [(template, query, found) for template, query in pairs if (found := _filled(template, query))]
        takes = {
            "split": lambda pairs=pairs: [payload.split.__wrapped__(query) for _, query in pairs],
            "split and fill": lambda pairs=pairs: [fill(template, query) for template, query in pairs],
            "attack?": lambda pairs=pairs: [hostile(query) for _, query in pairs],
            "render and guard": lambda filled=filled: [
                compose(template, found, query, (), fixed_labels(template)) for template, query, found in filled
            ],
        }
        cost = {what: _best(take, rounds) / len(pairs) for what, take in takes.items()}
        total = cost["split and fill"] + cost["attack?"] + cost["render and guard"]
        rows.append([name, str(len(pairs)), *(f"{us:.1f}" for us in (*cost.values(), total))])
    click.echo(f"CPU microseconds a prompt, best of {rounds} rounds\n")
    click.echo(table(["prompts", "number", "split", "split and fill", "attack?", "render and guard", "sum"], rows))


def _sets(library: Library) -> dict[str, Pairs]:
    matches = [
        (template, query) for template in library.templates if template.active for query in template.intent.match[:12]
    ]
    summarise = library.get("summarise.en")
    assert summarise is not None
    return {
        "match examples, English": [pair for pair in matches if pair[0].language == "en"],
        "match examples, Chinese": [pair for pair in matches if pair[0].language == "zh"],
        "summaries": [(summarise, query) for query in summaries(400)],
    }


def _filled(template: Template, query: str) -> FilledSlots | None:
    """Return the slots, or None if the template is not used."""
    found = fill(template, query)
    if not isinstance(found, FilledSlots):
        return None
    spans = [(slot.start, slot.end) for slot in found.slots if slot.start >= 0]
    return None if lost(query, template.render(found.values), spans) else found


def _best(take: Callable[[], object], rounds: int) -> float:
    """Return the CPU microseconds of the best round."""
    times = []
    gc.disable()
    for _ in range(rounds):
        began = process_time_ns()
        take()
        times.append(process_time_ns() - began)
    gc.enable()
    return min(times) / 1000


if __name__ == "__main__":
    main()
