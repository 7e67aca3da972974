"""Streams answers of the default model to many clients for some minutes: errors, memory, and the longest gaps.

    python benchmarks/engine_soak.py [--minutes 10] [--streams 32] [--parallel 8] [--batch-tokens N]

A gap is the time between two events of one answer, so that waiting for a slot does not count. A busy machine makes gaps
longer: so the load is printed, and the gaps also in CPU seconds of the engine's process, which are what an idle core
would take. The questions are ours; their answers are not judged.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from harness.foreword import LOCAL, start
from harness.processes import HOST, TICKS, heaviest, rss_bytes

QUIET = '[prompt]\nmode = "off"\ntemplates = []\n[records]\npolicy = "none"\n'
MB, LOOK_S, WRITTEN = 1 << 20, 15, 48
LIMITS_S = (0.5, 1, 2, 4)


@dataclass
class Soaked:
    """What the clients and the memory showed so far."""

    answers: int = 0
    events: int = 0
    errors: list[str] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    """The longest gap of each answer."""
    gaps_cpu_s: list[float] = field(default_factory=list)
    """The same in CPU seconds of the engine's process."""
    memory: list[int] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--batch-tokens", type=int, default=0, help="default: the setting's own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        batch = f"batch_tokens = {options.batch_tokens}\n" if options.batch_tokens else ""
        config = f"{LOCAL}parallel = {options.parallel}\nqueue = {2 * options.streams}\n{batch}{QUIET}"
        process, port = start(Path(folder) / "gateway", config)
        try:
            soaked = asyncio.run(soak(port, process.pid, options.streams, options.minutes * 60))
        finally:
            process.stop()
    report(soaked)


async def soak(port: int, pid: int, streams: int, seconds: float) -> Soaked:
    soaked, deadline = Soaked(), time.monotonic() + seconds
    limits = httpx.Limits(max_connections=streams)
    async with httpx.AsyncClient(
        base_url=f"http://{HOST}:{port}", limits=limits, timeout=900, trust_env=False
    ) as client:
        worker = heaviest(pid)
        clients = [asyncio.create_task(stream(client, at, soaked, deadline, worker)) for at in range(streams)]
        while time.monotonic() < deadline:
            soaked.memory.append(rss_bytes(heaviest(pid)))
            await asyncio.sleep(LOOK_S)
        await asyncio.gather(*clients)
    soaked.memory.append(rss_bytes(heaviest(pid)))
    return soaked


async def stream(client: httpx.AsyncClient, number: int, soaked: Soaked, deadline: float, worker: int) -> None:
    turn = 0
    while time.monotonic() < deadline:
        turn += 1
        text = f"{number}.{turn}: Tell a story about the sea. " + "Some words that make it long. " * (turn % 20)
        body = {
            "messages": [{"role": "user", "content": text}],
            "max_tokens": WRITTEN,
            "stream": True,
            "temperature": 0,
        }
        try:
            async with client.stream("POST", "/v1/chat/completions", json=body) as reply:
                if reply.status_code != 200:
                    raise RuntimeError(f"status {reply.status_code}: {(await reply.aread())[:200]!r}")
                await read(reply, soaked, worker)
        except Exception as error:  # every failure is a finding
            soaked.errors.append(repr(error)[:200])


async def read(reply: httpx.Response, soaked: Soaked, worker: int) -> None:
    longest, longest_cpu, ended = 0.0, 0.0, False
    last: tuple[float, float] | None = None
    async for line in reply.aiter_lines():
        if not line.startswith("data: "):
            continue
        now = time.monotonic(), cpu_s(worker)
        if last is not None:
            longest, longest_cpu = max(longest, now[0] - last[0]), max(longest_cpu, now[1] - last[1])
        last = now
        soaked.events += 1
        ended = ended or line == "data: [DONE]"
    if not ended:
        raise RuntimeError("a stream ended without its end mark")
    soaked.answers += 1
    soaked.gaps_s.append(longest)
    soaked.gaps_cpu_s.append(longest_cpu)


def cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


def report(soaked: Soaked) -> None:
    first, last = soaked.memory[min(2, len(soaked.memory) - 1)], soaked.memory[-1]
    most = max(soaked.memory)
    lines = (
        f"{soaked.answers} answers, {soaked.events} events, {len(soaked.errors)} errors {soaked.errors[:3]}",
        f"memory {first / MB:.0f} MB after {2 * LOOK_S} s, {most / MB:.0f} at most, {last / MB:.0f} at the end",
        f"longest gap of an answer, seconds: {spread(soaked.gaps_s)}; load {os.getloadavg()[1]:.0f}",
        f"longest gap of an answer, CPU seconds: {spread(soaked.gaps_cpu_s)}",
    )
    sys.stdout.write("\n".join(lines) + "\n")


def spread(gaps: list[float]) -> str:
    gaps = sorted(gaps) or [0.0]
    over = ", ".join(f"{sum(gap > limit for gap in gaps)} over {limit:g}" for limit in LIMITS_S)
    return f"median {gaps[len(gaps) // 2]:.2f}, 99 % {gaps[len(gaps) * 99 // 100]:.2f}, largest {gaps[-1]:.2f}; {over}"


if __name__ == "__main__":
    main()
