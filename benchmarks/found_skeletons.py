"""The whole loop on skeletons that a coin chooses: how many gain, and does any that is promoted lose?

    python benchmarks/found_skeletons.py --data FOLDER [--count 12] [--first 0]

The 70 skeletons are promptsource's templates with their right answers, as self-instruct ships them; their authors do
not know Foreword. Twelve are drawn by `random.Random(SEED)`. Of the 120 prompts of each, 80 are recorded, all with the
right answer as feedback. The 40 others are fresh: they are answered with the application's own prompt and with the
promoted version.
"""

import gzip
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from random import Random

import click
from harness.found_loop import TaskRow, shown, whole_loop

SEED = 16
RECORDED = 80
MOST_TOKENS = 64


def skeletons(data: Path) -> dict[str, list[TaskRow]]:
    by_name: defaultdict[str, list[TaskRow]] = defaultdict(list)
    with gzip.open(data / "skeletons" / "dev.jsonl.gz", "rt") as lines:
        for text in lines:
            row = json.loads(text)
            by_name[row["template"]].append(TaskRow(({"role": "user", "content": row["prompt"]},), row["wanted"]))
    return dict(by_name)


def chosen(names: list[str], count: int) -> list[str]:
    return Random(SEED).sample(sorted(names), count)


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--count", default=12, show_default=True, help="How many skeletons are drawn.")
@click.option("--first", default=0, show_default=True, help="Begin with this one of those that are drawn.")
@click.option("--calls", default=150, show_default=True, help="The budget of `optimise`.")
@click.option("--recorded", default=RECORDED, show_default=True, help="How many of the 120 prompts are recorded.")
@click.option("--fresh", default=40, show_default=True, help="How many of the others are fresh.")
@click.option("--only", multiple=True, help="Of those that are drawn, only the ones with these names, in this order.")
@click.option("--minutes", default=0.0, help="Begin no further skeleton after so many minutes.")
def main(
    data: Path, count: int, first: int, calls: int, recorded: int, fresh: int, only: tuple[str, ...], minutes: float
) -> None:
    began = time.monotonic()
    known = skeletons(data)
    drawn = chosen(list(known), count)[first:]
    for name in [name for name in only if name in drawn] or drawn:
        if minutes and time.monotonic() - began > 60 * minutes:
            click.echo(f"{name}: not begun, the time is over")
            continue
        rows = Random(SEED).sample(known[name], len(known[name]))
        with tempfile.TemporaryDirectory() as folder:
            result = whole_loop(
                name,
                Path(folder),
                rows[:recorded],
                rows[recorded : recorded + fresh],
                feedback=1.0,
                calls=calls,
                max_tokens=MOST_TOKENS,
            )
        click.echo(shown(result))


if __name__ == "__main__":
    main()
