"""Checks that the same task is decided alike in different wordings.

    python benchmarks/wordings.py [--data FILE]

FILE has one task per line, `{"task", "wordings": [...]}`. Default: our thirty tasks in lower case, in full sentences,
as a polite question, with the text first, and in another form.
"""

import asyncio
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
from harness.report import table
from strangers import assemble, decide, settings_for

PROMPTS = Path(__file__).parent / "prompts/wordings.jsonl"


@click.command()
@click.option(
    "--data", "--prompts", "prompts", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=PROMPTS
)
@click.option("--templates", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path("templates"))
def main(prompts: Path, templates: Path) -> None:
    """Print the decisions that differ, and how many tasks are improved in some wording."""
    tasks = [json.loads(line) for line in prompts.read_text("utf-8").splitlines() if line.strip()]
    asyncio.run(_measure(tasks, templates))


async def _measure(tasks: list[dict[str, Any]], templates: Path) -> None:
    rows, improved, same, total = [], 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="foreword-wordings-") as folder:
        gateway = assemble(settings_for(Path(folder), [templates], "on"), only_prepare=True)
        try:
            await gateway.load_prompt()
            for task in tasks:
                decisions = [await decide(gateway, text) for text in task["wordings"]]
                names = [done["template"] if done["changed"] else "" for done in decisions]
                (usual, count), *_ = Counter(names).most_common(1)
                if any(names):
                    improved, same, total = improved + 1, same + count, total + len(names)
                if count < len(names) or not usual:
                    rows += [
                        [str(task["task"]), text[:50].replace("\n", " "), name or "-", _why(done)]
                        for text, name, done in zip(task["wordings"], names, decisions, strict=True)
                        if name != usual or not usual
                    ]
        finally:
            await gateway.aclose()
    click.echo(table(["task", "wording", "template", "why"], rows))
    share = same / total if total else 0.0
    click.echo(f"\n{improved} of {len(tasks)} tasks are improved in some wording; of their wordings {share:.3f} alike")


def _why(done: dict[str, Any]) -> str:
    """Return the intent, and the note of the stage that chose the template or kept the prompt."""
    notes = [note for note in done["notes"] if note.startswith("rewrite")]
    return f"{done['intent'] or 'none'} {done['confidence']:.2f}; {(notes or [''])[-1]}"[:110]


if __name__ == "__main__":
    main()
