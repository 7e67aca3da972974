"""Generates load with `wrk`. A Lua script sets the bodies and prints the figures."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.processes import HOST

CONNECTIONS = 32

FIXED_LUA = """
wrk.method = "POST"
wrk.body = {body}
{headers}
"""
# a different body each time, so that no cache of texts answers
VARIED_LUA = """
wrk.method = "POST"
{headers}
local requests, count, next_ = {{}}, 0, 0
function init(args)
  for line in io.lines({file}) do
    count = count + 1
    requests[count] = wrk.format("POST", nil, nil, line)
  end
  next_ = tonumber(args[1] or "0") % count
end
function request()
  next_ = next_ % count + 1
  return requests[next_]
end
"""
DONE_LUA = """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("\\n@@ %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


@dataclass(frozen=True)
class Load:
    """The results of one run of wrk."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def script(folder: Path, name: str, body: str, headers: Mapping[str, str]) -> Path:
    """Write a wrk script that always posts the same body."""
    return _write(folder / f"{name}.lua", FIXED_LUA.format(body=_lua(body), headers=_headers(headers)))


def varied_script(folder: Path, name: str, bodies: list[str], headers: Mapping[str, str]) -> Path:
    """Write a wrk script that posts the bodies in turn."""
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(bodies) + "\n", "utf-8")
    return _write(folder / f"{name}.lua", VARIED_LUA.format(file=_lua(str(file)), headers=_headers(headers)))


def wrk(port: int, path: str, lua: Path, seconds: float, start: int = 0, connections: int = CONNECTIONS) -> Load:
    """Run wrk. `start` is the first body of a varied script, so that rounds do not repeat each other."""
    program = shutil.which("wrk")
    if program is None:
        raise FileNotFoundError("wrk is not installed (Debian: apt-get install wrk)")
    whole = max(1, round(seconds))
    done = subprocess.run(
        [
            program,
            "-t1",
            f"-c{connections}",
            f"-d{whole}s",
            "--timeout",
            "20s",
            "-s",
            str(lua),
            f"http://{HOST}:{port}{path}",
            "--",
            str(start),
        ],
        capture_output=True,
        text=True,
        timeout=whole + 60,
        check=False,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("@@ ")), None)
    if line is None:
        raise RuntimeError(f"wrk failed: {done.stdout[-300:]} {done.stderr[-300:]}")
    count, micros, p50, p99, broken, refused = (int(word) for word in line.split()[1:])
    return Load(count, micros / 1e6, p50 / 1000, p99 / 1000, broken + refused)


def _write(path: Path, text: str) -> Path:
    path.write_text(text + DONE_LUA, "utf-8")
    return path


def _headers(headers: Mapping[str, str]) -> str:
    # wrk adds a Host header unless there is one with this spelling, and no server should get two
    return "\n".join(f"wrk.headers[{_lua(name.title())}] = {_lua(value)}" for name, value in headers.items())


def _lua(text: str) -> str:
    """Return a Lua string literal. It equals JSON's, except for `\\u` and `\\/`."""
    return json.dumps(text, ensure_ascii=False)
