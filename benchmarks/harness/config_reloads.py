"""New configurations over HTTP while clients ask: some over connections that stay open, some over a new one each time,
some for streams of a second.
"""

import asyncio
import hashlib
import secrets
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

from harness import foreword
from harness.processes import HOST, NotUp, Process, free_port

KEY = secrets.token_hex(16)
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CONFIG = (
    foreword.PASS_THROUGH
    + f'[keys.admin]\nadmin = true\nsha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"\n'
    + "[routing]\ntrip_after = {number}\n"
)
PIECES = 20
FORMS = ("kept", "new", "stream")
HEADS = ["requests", "sent", "lost", "median ms", "p99 ms", "longest ms"]


class _Clients:
    """Asks without a pause over each connection until `over` is set."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seconds: dict[str, list[float]] = {form: [] for form in FORMS}
        self.lost: dict[str, Counter[str]] = {form: Counter() for form in FORMS}
        self.over = asyncio.Event()

    async def run(self, form: str) -> None:
        async with httpx.AsyncClient(timeout=60, headers=AUTHORIZED, trust_env=False) as client:
            while not self.over.is_set():
                began = time.monotonic()
                try:
                    problem = await self._ask(client, form)
                except httpx.HTTPError as error:
                    problem = type(error).__name__
                self.seconds[form].append(time.monotonic() - began)
                if problem:
                    self.lost[form][problem] += 1
                await asyncio.sleep(0.01)

    async def _ask(self, client: httpx.AsyncClient, form: str) -> str:
        url = f"{self._url}/v1/chat/completions"
        headers = {"connection": "close"} if form == "new" else {}
        answer = await client.post(url, json=ASK | {"stream": form == "stream"}, headers=headers)
        if answer.status_code != 200:
            return str(answer.status_code)
        whole = form != "stream" or (answer.text.rstrip().endswith("[DONE]") and answer.text.count("data: ") > PIECES)
        return "" if whole else "cut"

    def rows(self) -> list[list[str]]:
        rows = []
        for form in FORMS:
            ordered = sorted(self.seconds[form])
            figures = (ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1])
            rows.append(
                [
                    {"kept": "over a kept connection", "new": "over a new connection", "stream": "for a stream"}[form],
                    str(len(ordered)),
                    str(sum(self.lost[form].values())) + (f" {dict(self.lost[form])}" if self.lost[form] else ""),
                    *(f"{second * 1000:.0f}" for second in figures),
                ]
            )
        return rows


def config_reloads(folder: Path, count: int, workers: int) -> tuple[list[list[str]], str]:
    """Return the rows about the clients, and a line about the reloads."""
    upstream_port, redis_port = free_port(), free_port()
    processes = [
        Process(
            [sys.executable, str(Path(__file__).parent / "slow_stream.py"), str(upstream_port), str(PIECES)],
            folder / "upstream.log",
        )
    ]
    text = CONFIG
    try:
        processes[0].wait_port(upstream_port)
        if workers > 1:
            program = shutil.which("redis-server")
            if program is None:
                raise NotUp("redis-server is not installed")
            processes.append(Process([program, "--port", str(redis_port), "--save", ""], folder / "redis.log"))
            processes[-1].wait_port(redis_port)
            text = f'workers = {workers}\n{CONFIG}[state]\nkind = "redis"\nurl = "redis://{HOST}:{redis_port}"\n'
        process, port = foreword.start(folder / "gateway", text.replace("{number}", "5"), upstream_port)
        processes.insert(0, process)
        whole = (folder / "gateway" / "config.toml").read_text()
        return asyncio.run(_measure(f"http://{HOST}:{port}", whole, count))
    finally:
        for process in processes:
            process.stop()


async def _measure(url: str, text: str, count: int) -> tuple[list[list[str]], str]:
    clients = _Clients(url)
    tasks = [asyncio.create_task(clients.run(form)) for form in ("kept",) * 4 + ("new",) * 2 + ("stream",) * 4]
    await asyncio.sleep(2)
    taken: list[float] = []
    async with httpx.AsyncClient(timeout=120, headers=AUTHORIZED, trust_env=False) as admin:
        for number in range(count):
            changed = text.replace("trip_after = 5", f"trip_after = {number + 6}")
            answer = await admin.post(f"{url}/v1/foreword/reload", content=changed)
            taken.append(answer.raise_for_status().json()["took_s"])
    await asyncio.sleep(3)
    clients.over.set()
    await asyncio.gather(*tasks)
    ordered = sorted(taken)
    return clients.rows(), f"{count} reloads: median {ordered[count // 2]:.2f} s, longest {ordered[-1]:.2f} s"
