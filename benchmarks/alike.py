"""Finds the right one of twelve contracts that differ only in the parties' names and in their numbers.

    .venv/bin/python benchmarks/alike.py

The script makes the contracts. Their texts say "the supplier" and "the client", so only the file name tells whose
contract it is. In the first row the files are numbered, so nothing identifies them.
"""

import sys
import tempfile
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.report import table
from retrieval import Bench, bench

from gateway.context.store.collections import Wish
from gateway.context.store.distinct import distinct

PARTIES = (
    *("Aldermoor Shipping", "Birkenfeld Optics", "Castellan Foods", "Dunmore Textiles", "Eastgate Robotics"),
    *("Fennimore Paper", "Greyloch Energy", "Harrowgate Clinics", "Ibarra Ceramics", "Juniper Logistics"),
    *("Kestrel Software", "Lindqvist Timber"),
)
CONTRACT = """# Framework contract

## Term

This contract begins on {day} March 2024 and runs for {months} months. It is renewed by one year each time, unless a
party gives notice in writing {weeks} weeks before its end.

## Payment

The client pays invoices within {days} days. From then on interest of {interest} percent a year is due. The supplier may
raise its prices once a year by the change of the price index, but by no more than {rise} percent.

## Liability

The supplier is liable for damage through slight negligence up to {sum},000 euros for each event. No limit holds for
damage to life and health, and none for intent.

## Delivery

Goods are delivered to the client's warehouse within {delivery} working days of an order. A penalty of {penalty} percent
of the order's value is due for each week of delay.

## Confidentiality

Both parties keep confidential what they learn of each other for {years} years after the end of this contract.
"""
QUESTIONS = (
    "How many weeks before its end must the contract with {party} be terminated?",
    "Within how many days are invoices paid under the {party} contract?",
    "Up to what sum is the supplier liable under the contract with {party}?",
    "How fast are goods delivered under the {party} contract?",
    "How long does confidentiality last after the contract with {party} has ended?",
    "By how much may prices be raised under the {party} contract?",
)
NUMBERS = ("day", "months", "weeks", "days", "interest", "rise", "sum", "delivery", "penalty", "years")


@click.command()
def main() -> None:
    """Print for how many of the 72 questions the right contract comes first, and comes among the first six passages."""
    rows = []
    for how in ("numbered", "named by their parties"):
        with bench() as made, tempfile.TemporaryDirectory() as folder:
            ranks = _ranks(made, Path(folder), named=how != "numbered")
        rows.append([how, str(len(ranks)), *(str(sum(rank < k for rank in ranks)) for k in (1, 3, 6))])
    click.echo(table(["files", "questions", "right one first", "within 3", "within 6"], rows))


def _ranks(made: Bench, folder: Path, *, named: bool) -> list[int]:
    """Return the rank of the first passage of the right contract, for each search."""
    files = []
    for number, party in enumerate(PARTIES):
        files.append(folder / (f"{party.lower().replace(' ', '-')}.md" if named else f"{number}.md"))
        values = {name: 3 + (number * 7 + place * 5) % 29 for place, name in enumerate(NUMBERS)}
        files[-1].write_text(CONTRACT.format(**values), "utf-8")
    collection = made.add("contracts", files)
    asked = [(number, question) for number in range(len(PARTIES)) for question in QUESTIONS]
    ranks = []
    for number, question in asked:
        query = question.format(party=PARTIES[number])
        hits = made.collections.look_up(collection, Wish(query, made.vectors([query])[0], 50))
        sources = [chunk.source for chunk in distinct([hit.chunk for hit in hits])]
        name = files[number].name
        ranks.append(sources.index(name) if name in sources else 999)
    return ranks


if __name__ == "__main__":
    main()
