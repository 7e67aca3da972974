"""Sends generated requests to every path of the OpenAPI document, and counts the answers that are server errors.

    python benchmarks/fuzz_api.py --schemathesis /path/to/venv/bin/schemathesis --minutes 10

Schemathesis needs a virtual environment of its own, since it pins other versions of some libraries. The backends are
a scripted model and a stub of an OpenAI-compatible server, which answers every request with `{}`.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.doubles.process import GatewayProcess  # noqa: E402

CONFIG = """
[prompt]
templates = []
mode = "off"
[server]
drain_s = 1
[routing]
default = "fake"
unknown = "fake"
[embedder]
kind = "sentence"
[store]
kind = "exact"
[backends.fake]
kind = "scripted"
name = "fake"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["gpt-*"]
[keys.app]
secret = "key-of-the-fuzzer"
[keys.root]
secret = "key-of-an-admin"
admin = true
"""
KEYS = ("key-of-the-fuzzer", "key-of-an-admin")


class Stub(BaseHTTPRequestHandler):
    """Answers every request with an empty object."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        return None


def counts(gateway: GatewayProcess) -> Counter[str]:
    """Return the number of answers by status, as the access log has them, without those of `/health/ready`."""
    found: Counter[str] = Counter()
    for line in (gateway.folder / "access.log").read_text("utf-8", "replace").splitlines():
        if '"path":"/health/ready"' in line:
            continue  # a 503 is how this path says that a part is loading
        status = line.partition('"status":')[2].lstrip()[:3]
        found[status] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemathesis", required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--examples", type=int, default=30)
    given = parser.parse_args()
    stub = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    folder = Path(tempfile.mkdtemp())
    log = f'[telemetry]\naccess_log = "{folder / "access.log"}"\naccess_format = "json"\n'
    gateway = GatewayProcess(folder, CONFIG.format(port=stub.server_port) + log).wait("/health/live")
    _await_stores(gateway)
    ends = time.monotonic() + 60 * given.minutes
    seed, output = 0, folder / "schemathesis.txt"
    try:
        while time.monotonic() < ends:
            seed += 1
            command = [given.schemathesis, "run", f"{gateway.url}/openapi.json", "--checks", "not_a_server_error"]
            command += ["--header", f"Authorization: Bearer {KEYS[seed % 2]}", "--seed", str(seed)]
            command += ["--max-examples", str(given.examples), "--continue-on-failure", "--no-color"]
            command += ["--request-timeout", "30", "--suppress-health-check", "all"]
            with output.open("ab") as file:
                left = max(1.0, ends - time.monotonic())
                try:
                    subprocess.run(command, stdout=file, stderr=file, timeout=left, check=False)
                except subprocess.TimeoutExpired:
                    break
    finally:
        time.sleep(1)
        statuses = counts(gateway)
        gateway.stop()
    server_errors = sum(count for status, count in statuses.items() if status.startswith("5"))
    traces = gateway.log.read_text("utf-8", "replace").count("Traceback")
    lines = [
        f"runs: {seed}, requests: {sum(statuses.values())}, by status: {dict(sorted(statuses.items()))}",
        f"server errors: {server_errors}, exceptions in the gateway's log: {traces}",
        f"outputs: {output}, {gateway.log}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def _await_stores(gateway: GatewayProcess) -> None:
    headers = {"authorization": f"Bearer {KEYS[0]}"}
    for _ in range(600):
        if httpx.get(f"{gateway.url}/v1/vector_stores", headers=headers).status_code == 200:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    main()
