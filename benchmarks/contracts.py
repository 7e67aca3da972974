"""Measures how soon the job `watch` takes back a version of a found prompt that breaks the answer contract.

    python benchmarks/contracts.py [--runs 20]
    python benchmarks/contracts.py --skeletons FILE

The version is liked better by feedback (0.9 against 0.7, on a tenth of the answers), and breaks the contract in a tenth
of its answers. The answers are recorded exchanges in a database; the contract is learned from earlier ones by the job
`learn-contract`, and the job `watch` decides. Its result is the same whether it runs after each answer or at the end,
since the test stops at the first answer that decides. Answers and scores are drawn by chance, by this project's own
generator.
"""

import gzip
import json
import re
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from random import Random
from unittest import mock

import click
import msgspec

from gateway.ports import Answer
from gateway.prompt.found.contract import breach
from gateway.prompt.found.store import found_path, read_found
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start
from offline_jobs.found.learn import SeenAnswer, contract_of
from tests.doubles.canary import LABELS, adopted, answered, breaking, trial
from tests.doubles.recorded import settings_in, stored

OWN = 200
BEFORE = 400
OWN_ANSWERS = re.compile(r"(\d+) of its own")


def run(seed: int, share: float, canary: float, stable: float, count: int) -> int:
    """Return after how many answers of its own the version was taken back, or 0 if it stayed."""
    draw = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_in(Path(folder))
        adopted(settings, share)
        earlier = [answered(number, breaking(stable)(draw)) for number in range(BEFORE)]
        ledger = Ledger(jobs_folder(settings))
        try:
            stored(settings, earlier)
            with mock.patch("offline_jobs.found.traffic.time.time", return_value=time.time() + 1e9):
                learned = start(settings, ledger, "learn-contract", {"prompt": "triage", "since": "2020-01-01"})
            assert all(label in learned.report for label in LABELS), learned
            stored(settings, *trial(breaking(canary), breaking(stable), count, share, draw, first=BEFORE, rated=0.1))
            (verdict,) = msgspec.json.decode(start(settings, ledger, "watch", {}).report)
        finally:
            ledger.close()
        (prompt,) = read_found(found_path(settings.data_folder)).prompts
        if verdict["what"] != "rolled back":
            assert prompt.spoken is not None
            return 0
        assert prompt.spoken is None
        assert "contract" in verdict["reason"], verdict
        return int(OWN_ANSWERS.findall(verdict["reason"])[-1])


def learning(file: Path) -> None:
    """Learn from three quarters of the right answers of each skeleton, and print how many of the rest keep to it."""
    by_template: defaultdict[str, list[str]] = defaultdict(list)
    with gzip.open(file, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            by_template[row["template"]].append(row["wanted"])
    claims: Counter[str] = Counter()
    kept: dict[str, list[bool]] = defaultdict(list)
    for template, answers in sorted(by_template.items()):
        order = Random(template).sample(answers, len(answers))
        cut = len(order) * 3 // 4
        contract = contract_of([SeenAnswer(Answer(text, "stop"), is_given=True) for text in order[:cut]])
        names = [
            name for name in ("json_schema", "labels", "pattern", "longest", "language") if getattr(contract, name)
        ]
        kind = " and ".join(names) or "nothing"
        claims[kind] += 1
        kept[kind] += [not breach(contract, Answer(text, "stop")) for text in order[cut:]]
    click.echo(f"{len(by_template)} skeletons")
    for kind, count in claims.most_common():
        click.echo(f"| {kind} | {count} | {sum(kept[kind])} of {len(kept[kind])} |")


@click.command()
@click.option("--runs", default=20, show_default=True)
@click.option("--skeletons", type=Path, help="Prompts of known skeletons with right answers: learn from them instead.")
def main(runs: int, skeletons: Path | None) -> None:
    """Print how many runs are taken back, and after how many answers of the version."""
    if skeletons is not None:
        learning(skeletons)
        return
    click.echo(f"| share | own text breaks | version breaks | taken back within {OWN} own answers | median | slowest |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    for share in (0.05, 0.1, 0.3, 0.5):
        for stable, canary in ((0.0, 0.1), (0.01, 0.11), (0.03, 0.13), (0.01, 0.01)):
            after = sorted(run(seed, share, canary, stable, OWN) for seed in range(runs))
            found = [one for one in after if one]
            ends = f"{found[len(found) // 2]} | {found[-1]}" if found else "- | -"
            click.echo(f"| {share:g} | {stable:.0%} | {canary:.0%} | {len(found)} of {runs} | {ends} |")


if __name__ == "__main__":
    main()
