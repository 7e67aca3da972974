"""Checks that the chooser picks the strategy that fits a request. How a case was made determines the right strategy.

Documents and questions are real. Asking for a document's plot calls for a summary; asking about one passage calls for
search; one question about twelve passages of twelve documents calls for reading them independently. Counting and
comparing questions and conversations are composed here. Then each request is changed in ways that must not change the
choice. No model is called.
"""

import asyncio
import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from harness.changed import CHANGES, SAME, UNSEEN, tasks_and_messages
from harness.report import table
from harness.text_kinds import filled, text_of

from gateway.adapters import Parts
from gateway.ask import Turn
from gateway.context.embedding.sentence import KIND
from gateway.context.long.choose import Powers, Strategy, choose
from gateway.context.long.meaning import with_meaning
from gateway.context.long.shape import is_talk, shape_of
from gateway.ports import Vectors
from gateway.settings.tables import Settings

ABLE = Powers(calls=True, logits=True, pieces=True)
SUMMARIES = (
    "Summarise this text.", "Give me a short summary.", "tl;dr", "What are the main points of this?",
    "Write an overview of the text below.", "What is the plot of the story?", "Sum up what happens.",
    "Could you condense this into one paragraph?", "I need the key takeaways.", "what is this about",
)  # fmt: skip
SUMMARIES_ZH = ("请总结全文。", "概括一下这篇文章的主要内容。", "写一个摘要。", "这篇文章讲了什么？", "请归纳要点。")
WHOLE = (
    "How many times is the captain mentioned?", "List all the people who appear, in the order in which they appear.",
    "Compare the beginning with the end.", "How often does the narrator travel?", "Count the dates in the text.",
    "Which of them comes first in the text and which last?", "Does the text contradict itself anywhere?",
    "Make a timeline of the events.", "For each speaker, list all that they ask for.",
)  # fmt: skip
WHOLE_ZH = ("文中一共出现了多少个人名？", "按顺序列出所有的地点。", "比较开头和结尾。", "主人公几次离开家？")
Case = tuple[str, list[Turn]]


def cases(data: Path) -> Iterator[Case]:
    """Yield the expected strategy and the turns of each request."""
    draw = random.Random(7)
    with gzip.open(data / "squality_dev.jsonl.gz", "rt", "utf-8") as file:
        stories = [json.loads(line) for line in file]
    for story in stories[:12]:
        for question in story["questions"][:3]:
            text = question["question_text"]
            wanted = Strategy.TREE if "plot" in text else Strategy.FOCUS
            yield wanted, _put(story["document"], text, draw)
    texts = [story["document"] for story in stories[:10]]
    novel = next((data / "long_texts").glob("*zh*"), None) or sorted((data / "long_texts").glob("*.txt"))[-1]
    chinese = novel.read_text("utf-8")[20_000:60_000]
    yield from ((Strategy.TREE, _put(draw.choice(texts), ask, draw)) for ask in SUMMARIES * 2)
    yield from ((Strategy.TREE, _put(chinese, ask, draw)) for ask in SUMMARIES_ZH * 2)
    yield from ((Strategy.GATHER, _put(draw.choice(texts), ask, draw)) for ask in WHOLE * 3)
    yield from ((Strategy.GATHER, _put(chinese, ask, draw)) for ask in WHOLE_ZH * 2)
    yield from _local(data, draw)
    yield from _passages(data, draw)
    yield from _talks(data, draw)


def _local(data: Path, draw: random.Random) -> Iterator[Case]:
    rows = [json.loads(line) for line in (data / "chunking_eval/questions_dev.jsonl").read_text("utf-8").splitlines()]
    for row in draw.sample(rows, 40):
        text = (data / "chunking_eval" / f"{row['corpus_id']}.md").read_text("utf-8")[:60_000]
        yield Strategy.FOCUS, _put(text, row["question"], draw)
    articles = json.loads((data / "cmrc2018/trial.json").read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    for paragraph in draw.sample(paragraphs, 30):
        others = [other["context"] for other in draw.sample(paragraphs, 25)]
        text = "\n".join([*others, paragraph["context"]])
        yield Strategy.FOCUS, _put(text, paragraph["qas"][0]["question"], draw)


def _passages(data: Path, draw: random.Random) -> Iterator[Case]:
    rows = [json.loads(line) for line in (data / "nq_open/dev.jsonl").read_text("utf-8").splitlines()]
    for row in draw.sample(rows, 40):
        found = [row, *draw.sample(rows, 30)]
        texts = [f"{one['ctxs'][0]['title']}\n{one['ctxs'][0]['text']}" for one in found if one["ctxs"]]
        draw.shuffle(texts)
        head = draw.choice(("Passage {}: ", "[{}] ", "Document {}\n"))
        joined = "\n\n".join(head.format(n) + " ".join(text.split()) for n, text in enumerate(texts, 1))
        yield Strategy.NBCE, _put(joined, row["question"] + draw.choice(("?", "")), draw)


def _talks(data: Path, draw: random.Random) -> Iterator[Case]:
    rows = [json.loads(line) for line in (data / "nq_open/dev.jsonl").read_text("utf-8").splitlines()]
    for _ in range(20):
        said = draw.sample(rows, 40)
        turns = [
            turn
            for row in said
            for turn in (
                Turn("user", row["question"]),
                Turn("assistant", row["ctxs"][0]["text"] if row["ctxs"] else ""),
            )
        ]
        yield Strategy.TALK, [*turns, Turn("user", draw.choice(said)["question"])]


def _put(text: str, task: str, draw: random.Random) -> list[Turn]:
    """Put the task before or after the text, at random."""
    return [Turn("user", f"{task}\n\n{text}" if draw.random() < 0.5 else f"{text}\n\n{task}")]


class Chooser:
    """Chooses as the gateway does, with the embedder of a fresh configuration or without one."""

    def __init__(self, *, embeds: bool) -> None:
        self._embedder = KIND.build("embedder", KIND.settings(), Parts(Settings(Path.cwd()))) if embeds else None
        self._known: dict[str, Vectors] = {}

    def __call__(self, message: str, *, talk: bool = False) -> str:
        shape = asyncio.run(with_meaning(shape_of(message), self._embed if self._embedder else None))
        choice = choose(shape, talk=talk, parts=12, prompt_tokens=9000, powers=ABLE)
        return choice.strategy.value if choice else "none"

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        key = "\n".join(texts)
        if key not in self._known:
            self._known[key] = self._embedder.embed(texts)
        return self._known[key]


def labelled(data: Path, chosen: Chooser, show: bool) -> None:
    """Print the share of labelled requests that get the expected strategy."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    for expected, turns in cases(data):
        got = chosen(turns[-1].text, talk=is_talk(turns))
        total[expected] += 1
        right[expected] += got == expected
        if got != expected:
            missed[expected, got] += 1
        if show and got != expected:
            click.echo(f"{expected} taken for {got}: {shape_of(turns[-1].text).task[:120]}")
    rows = [[name, str(total[name]), f"{right[name] / total[name]:.3f}"] for name in total]
    rows.append(["all", str(total.total()), f"{right.total() / total.total():.3f}"])
    click.echo(table(["expected", "cases", "chosen"], rows))
    for (expected, got), times in missed.most_common():
        click.echo(f"{expected} taken for {got}: {times}")


def changed(data: Path, chosen: Chooser, show: bool) -> None:
    """Print the share of changed requests that are treated as before the change."""
    draw = random.Random(11)
    kept: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()

    def count(change: str, expected: str, before: str, after: str, task: str) -> None:
        total[change, expected] += 1
        kept[change, expected] += before == after
        if show and before != after:
            click.echo(f"{change}: {before} became {after}: {task[:100]!r}")

    for expected, turns in cases(data):
        if is_talk(turns):
            continue
        shape = shape_of(turns[-1].text)
        before = chosen(f"{shape.text.strip()}\n\n{shape.task}")
        for name, change in CHANGES.items():
            count(name, expected, before, chosen(change(shape.task, shape.text.strip(), draw)), shape.task)
    strategies = list(dict.fromkeys(expected for _, expected in total))
    rows = [
        [name, *[_share(kept, total, name, one) for one in strategies]] for name in dict.fromkeys(n for n, _ in total)
    ]
    click.echo(table(["change", *strategies], rows))


def worded(data: Path, chosen: Chooser, show: bool) -> None:
    """Print the share of tasks that are understood: many wordings, English and Chinese tasks, English and Chinese
    texts."""
    with gzip.open(data / "squality_dev.jsonl.gz", "rt", "utf-8") as file:
        english = json.loads(file.readline())["document"][:40_000]
    chinese = sorted((data / "long_texts").glob("*zh*"))[0].read_text("utf-8")[20_000:40_000]
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for name, tasks in (("seen", SAME), ("unseen", UNSEEN)):
        for expected, language, message in tasks_and_messages([english, chinese], tasks):
            got = chosen(message)
            total[f"{name}, {language}", expected] += 1
            right[f"{name}, {language}", expected] += got == expected
            if show and got != expected:
                click.echo(f"{name}: {expected} taken for {got}: {message.rpartition(chr(10))[2]}")
    strategies = [one.value for one in SAME]
    sets = dict.fromkeys(name for name, _ in total)
    rows = [[name, *[_share(right, total, name, one) for one in strategies]] for name in sets]
    click.echo(table(["tasks", *strategies], rows))


def _share(kept: Counter[tuple[str, str]], total: Counter[tuple[str, str]], change: str, expected: str) -> str:
    asked = total[change, expected]
    return f"{kept[change, expected] / asked:.3f} of {asked}" if asked else "-"


EXPECTED = {
    "place": {"focus", "nbce"},
    "summary": {"tree", "refine"},
    "whole": {"gather"},
    "transform": {"piecewise"},
}
"""The right strategies for a kind of task if no longer window is available."""


def written(file: Path, data: Path, chosen: Chooser, show: bool) -> None:
    """Print the share of a file's tasks that get a right strategy, by kind, language and kind of text.

    Each line has `lang` or `language`, the kind of task (`place`, `summary`, `whole`, `transform`), `instruction` and
    the kind of text. It may have `prompt`, which contains a marker in place of the text. Without it, the text follows
    after the instruction in every other line, and stands before it in the others.
    """
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    missed: Counter[tuple[str, str]] = Counter()
    lost = 0
    for number, line in enumerate(file.read_text("utf-8").splitlines()):
        row = json.loads(line)
        kind, text_kind = _kinds(row)
        language = row.get("lang") or row["language"]
        text = text_of(text_kind, language, data)
        task = row["instruction"]
        ends = f"{task}\n\n{text}", f"{text}\n\n{task}"
        message = filled(row["prompt"], text) if "prompt" in row else ends[number % 2]
        got = chosen(message)
        hit = got in EXPECTED[kind]
        shape = shape_of(message)
        lost += text[100:-100].strip() not in shape.text
        for group in (("kind", kind), ("language", language), ("text", text_kind), ("all", "all")):
            total[group] += 1
            right[group] += hit
        if not hit:
            missed[kind, got] += 1
            if show:
                click.echo(f"{kind} taken for {got} ({text_kind}): {row['instruction']!r}; read: {shape.task[:100]!r}")
    rows = [[*group, str(total[group]), f"{right[group] / total[group]:.3f}"] for group in sorted(total)]
    click.echo(table(["group", "of", "tasks", "right"], rows))
    for (kind, got), times in missed.most_common():
        click.echo(f"{kind} taken for {got}: {times}")
    click.echo(f"part of the text taken for the task: {lost} of {total['all', 'all']}")


def _kinds(row: dict[str, str]) -> tuple[str, str]:
    """The kind of the task and the kind of the text."""
    kind = next(value for value in row.values() if value in EXPECTED)
    name = next((name for name in row if "text" in name and name != "prompt"), "")
    return kind, str(row.get(name, ""))


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--show", is_flag=True, help="Print each changed request that is treated differently.")
@click.option("--tasks", type=click.Path(exists=True, path_type=Path), help="A file of tasks; only these are measured.")
@click.option("--words-only", is_flag=True, help="Use no embedder, like a gateway without extras.")
def main(data: Path, show: bool, tasks: Path | None, words_only: bool) -> None:
    """Measure labelled requests, changed requests, and the same tasks in many wordings."""
    chosen = Chooser(embeds=not words_only)
    if tasks is not None:
        written(tasks, data, chosen, show)
        return
    labelled(data, chosen, show)
    click.echo("")
    changed(data, chosen, show)
    click.echo("")
    worded(data, chosen, show)


if __name__ == "__main__":
    main()
