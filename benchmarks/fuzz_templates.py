"""Sends thousands of broken and hostile templates and prompts through parse, fill, render and guard.

Counts the refused, used and crashed ones, and those that tried to open a file, a process or a network connection
(reported by Python's audit hooks). Also counts numbers and addresses of a prompt that are missing in its messages.
These checks share no code with the guards. A seed always gives the same run.
"""

import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from harness.report import table

from gateway.errors import TemplateError
from gateway.prompt.authoring.cases import sample
from gateway.prompt.compose import compose, fill_or_keep
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.library.library import load_library
from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template

ROOT = Path(__file__).parents[1]
PAYLOADS = ROOT / "tests" / "unit" / "prompt" / "template_injections.txt"
REACHING = ("os.", "subprocess.", "socket.", "shutil.", "open", "ctypes.", "import", "pty.", "webbrowser.", "urllib.")
SOUP = [
    *("{{", "}}", "{%", "%}", "{#", "#}", "{%-", "-%}", "# system", "# user", "# assistant", "\n", "\n---\n", " ", "|"),
    *("query", "text", "examples", "labels", "e.input", "loop.index", "if", "else", "endif", "for", "in", "endfor"),
    *("set", "macro", "include", "import", "__class__", "attr", "(", ")", "[", "]", "'", '"', "~", "**", "999999999"),
    *("trim", "join", "indent(99999999)", "fenced", "bullets", "upper", "default('x')", "\x00", "\ud800", "\u202e"),
]
HEADS = [
    *("a: &a [*a]", "x: !!python/object/apply:os.system ['id']", "slots: {text: payload}", "slots: {query: text}"),
    *("slots: {t: {pattern: '(a+)+$'}}", "slots: {t: {pattern: '(a|a)*$'}}", "version: 99999999999999999999", "[[[["),
    *("examples: [{input: a, output: b}]", "tests: {}", "models: {allow: []}", "\tx: 1", "id: ../../etc/passwd"),
    *("examples: {pool: ../../../etc/passwd, as: turns}", "output: {stop: [" + "x," * 500 + "]}", "? a", "- a"),
]
WORDS = [
    *(
        "please",
        "summarise",
        "translate",
        "into",
        "French:",
        "the",
        "order",
        "4711",
        "of",
        "3.5",
        "euros",
        "'as",
        "is'",
    ),
    *(
        '"word',
        "for",
        'word"',
        "把下面翻译成英文：你好",
        "https://example.com/a?b=1",
        "me@example.com",
        "```py\nx",
        "=",
        "1",
    ),
    *("}}\n```", "{{", "#", "system", "user", "query", "%}", "if", "not", "never", "at", "most", "50", "words", "or"),
    *("classify", "as", "positive", "negative:", "I", "didn't", "like", "it!", "and", "then?", "<|im_start|>", "总结"),
    *("不要", "超过", "100", "字", "\n", "\n\n"),
]
KEEP = re.compile(r"\d+(?:\.\d+)?|https?://\S+[\w/]|[\w.]+@[\w.]+\w")


@click.command()
@click.option("--count", default=10_000, show_default=True, help="The number of templates, and of prompts.")
@click.option("--seed", default=1, show_default=True)
def main(count: int, seed: int) -> None:
    """Print the table of docs/benchmarks.md, section *Fuzzed templates and prompts*."""
    chance = random.Random(seed)
    real = [one for one in load_library([ROOT / "templates"])[0].templates if one.active]
    prompts = [_prompt(chance) for _ in range(count)]
    for prompt in prompts[:50]:
        for template in real:
            _speak(template, prompt)
    for source in _sources(random.Random(0), real, 400):
        _outcome(source, "")  # loads lazy imports before the hook listens
    reached: Counter[str] = Counter()
    listening = [False]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if listening[0] and event.startswith(REACHING) and not _own_file(event, arguments):
            reached[f"{event} {arguments}"[:200]] += 1

    sys.addaudithook(hook)
    rows = []
    for name, pairs in (
        ("templates", iter([(source, chance.choice(prompts)) for source in _sources(chance, real, count)])),
        ("prompts", ((chance.choice(real), prompt) for prompt in prompts)),
    ):
        reached.clear()
        listening[0] = True
        outcomes, slowest_s = _run(pairs)
        listening[0] = False
        for what in sorted(reached):
            click.echo(f"reached out: {what}", err=True)
        figures = [outcomes[what] for what in ("refused", "kept", "spoke", "crashed")]
        rows.append([name, *map(str, figures), str(reached.total()), str(outcomes["lost"]), f"{slowest_s * 1000:.0f}"])
    head = ["fuzzed", "refused at load", "prompt kept", "spoke", "crashed", "reached out", "lost text", "slowest, ms"]
    click.echo(table(head, rows))


def _run(pairs: Iterator[tuple[str | Template, str]]) -> tuple[Counter[str], float]:
    outcomes: Counter[str] = Counter()
    slowest_s = 0.0
    for subject, prompt in pairs:
        began = time.thread_time()
        try:
            outcomes[_outcome(subject, prompt)] += 1
        except Exception as error:  # crashes are what this script looks for
            click.echo(f"crash: {error!r} on {subject!r:.300} with {prompt!r:.300}", err=True)
            outcomes["crashed"] += 1
        slowest_s = max(slowest_s, time.thread_time() - began)
    return outcomes, slowest_s


def _outcome(subject: str | Template, prompt: str) -> str:
    try:
        template = parse(subject, "fuzzed.prompt.md") if isinstance(subject, str) else subject
    except TemplateError:
        return "refused"
    text = _speak(template, prompt)
    if text is None:
        return "kept"
    gone = [found[0] for found in KEEP.finditer(prompt) if found[0] not in text]
    if gone:
        click.echo(f"lost {gone} in {template.ref}: {prompt!r:.300}", err=True)
    return "lost" if gone else "spoke"


def _speak(template: Template, prompt: str) -> str | None:
    try:
        shots, labels = sample(template)
        turns = compose(template, fill_or_keep(template, prompt), prompt, shots, labels).turns
    except (KeptAsIs, TemplateError):
        return None
    return "\n".join(turn.text for turn in turns)


def _sources(chance: random.Random, real: Sequence[Template], count: int) -> Iterator[str]:
    """Yield damaged real files, real heads with hostile bodies, and hostile heads."""
    originals = [Path(one.file).read_text("utf-8") for one in real]
    payloads = [line for line in PAYLOADS.read_text("utf-8").splitlines() if not line.startswith("# ")]
    for number in range(count):
        head, _, body = chance.choice(originals).removeprefix("---\n").partition("\n---\n")
        kind = number % 4
        if kind == 0:
            yield _damaged(chance, f"---\n{head}\n---\n{body}")
            continue
        if kind == 1:
            body = "# user\n{{ query }}\n" + " ".join(chance.choices(SOUP, k=chance.randint(1, 60)))
        elif kind == 2:
            body = f"{body}\n{chance.choice(payloads)}"
        else:
            head = f"{head}\n{chance.choice(HEADS)}" if chance.random() < 0.5 else chance.choice(HEADS)
        yield f"---\n{head}\n---\n{body}"


def _damaged(chance: random.Random, text: str) -> str:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        to = min(len(text), at + chance.randint(0, 40))
        text = (
            text[:at]
            + chance.choice(["", chance.choice(SOUP), chr(chance.randint(1, 0xD7FF)), text[at:to] * 2])
            + text[to:]
        )
    return text


def _prompt(chance: random.Random) -> str:
    words = [
        chance.choice(WORDS) if chance.random() < 0.9 else chr(chance.randint(1, 0x10FFF)) * chance.randint(1, 3)
        for _ in range(chance.randint(1, 80))
    ]
    return " ".join(words)


def _own_file(event: str, arguments: Sequence[object]) -> bool:
    """Return whether a template may open this file: its own pool of examples."""
    return event == "open" and str(arguments[0]).endswith(".jsonl")


if __name__ == "__main__":
    main()
