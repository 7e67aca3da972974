"""Sends generated requests to every path of the OpenAPI document and to those that pass through to a backend, and
counts the answers that are server errors. Tools of requests are often those of an MCP server.

    python benchmarks/fuzz_api.py --schemathesis /path/to/venv/bin/schemathesis --minutes 10

Schemathesis needs a virtual environment of its own, since it pins other versions of some libraries. The backends are
a scripted model, and stubs of an OpenAI-compatible server and of Anthropic's, Google's and Amazon's, which answer every
request with `{}`. What such a stub answers is no answer of a model, so that a 502 that says so is right: `not_an_api`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.doubles.mcp_process import SERVER  # noqa: E402
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
[backends.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "k"
models = ["claude-*"]
[backends.gemini]
kind = "gemini"
base_url = "http://127.0.0.1:{port}/v1beta"
api_key = "k"
models = ["gemini-*"]
[backends.bedrock]
kind = "bedrock"
base_url = "http://127.0.0.1:{port}"
region = "us-east-1"
api_key = "k"
models = ["us.*"]
[mcp.servers.tools]
command = "{python}"
args = ["{mcp_server}"]
[keys.app]
secret = "key-of-the-fuzzer"
[keys.root]
secret = "key-of-an-admin"
admin = true
"""
KEYS = ("key-of-the-fuzzer", "key-of-an-admin")
MODELS = ("fake", "gpt-4o", "claude-4", "gemini-3-pro", "us.anthropic.x", "")
PASSING = {
    "audio/speech": ("post",),
    "audio/transcriptions": ("post",),
    "images/generations": ("post",),
    "images/edits": ("post",),
    "moderations": ("post",),
    "rerank": ("post",),
    "responses/compact": ("post",),
    "responses/input_tokens": ("post",),
    "fine_tuning/jobs": ("get", "post"),
    "fine_tuning/jobs/{id}": ("get",),
    "fine_tuning/jobs/{id}/cancel": ("post",),
    "conversations": ("post",),
    "conversations/{id}": ("get", "post", "delete"),
    "conversations/{id}/items": ("get", "post"),
    "assistants": ("get", "post"),
    "assistants/{id}": ("get", "post", "delete"),
    "threads": ("post",),
    "threads/{id}/messages": ("get", "post"),
    "threads/{id}/runs": ("get", "post"),
    "videos": ("get", "post"),
    "videos/{id}/content": ("get",),
    "containers": ("get", "post"),
    "evals": ("get", "post"),
    "realtime/client_secrets": ("post",),
    "realtime/calls": ("post",),
    "organization/usage/completions": ("get",),
    "{id}/{other}": ("get", "post", "put", "patch", "delete"),
}
"""Paths that pass through, which the gateway's document does not list."""
MODEL: dict[str, Any] = {"anyOf": [{"enum": list(MODELS)}, {"type": "string"}, {}]}
TEXT = {"type": "string"}
MCP_TOOL = {
    "type": "object",
    "required": ["type", "server_label"],
    "properties": {
        "type": {"const": "mcp"},
        "server_label": {"anyOf": [{"const": "tools"}, TEXT]},
        "server_url": TEXT,
        "require_approval": {"anyOf": [{"const": "never"}, {}]},
        "allowed_tools": {},
    },
}
MCP_SERVER = {
    "type": "object",
    "required": ["type", "name"],
    "properties": {"type": {"const": "url"}, "name": {"const": "tools"}, "url": TEXT, "tool_configuration": {}},
}


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
    config = CONFIG.format(port=stub.server_port, python=sys.executable, mcp_server=SERVER)
    gateway = GatewayProcess(folder, config + log).wait("/health/live")
    _await_stores(gateway)
    asked = folder / "openapi.json"
    document(gateway.url, asked)
    ends = time.monotonic() + 60 * given.minutes
    seed, output = 0, folder / "schemathesis.txt"
    try:
        while time.monotonic() < ends:
            seed += 1
            command = [given.schemathesis, "run", str(asked), "--url", gateway.url, "--checks", "not_a_server_error"]
            command += ["--header", f"Authorization: Bearer {KEYS[(seed + 1) % 2]}", "--seed", str(seed)]
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
        *[f"  {count} of {what}" for what, count in failed(gateway).most_common(20)],
        f"outputs: {output}, {gateway.log}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def failed(gateway: GatewayProcess) -> Counter[str]:
    """Return the number of server errors by path and status."""
    lines = (gateway.folder / "access.log").read_text("utf-8", "replace").splitlines()
    said = [json.loads(line) for line in lines if '"path":"/health/ready"' not in line]
    return Counter(f"{each.get('path')} {each['status']}" for each in said if each.get("status", 0) >= 500)


def document(url: str, file: Path) -> None:
    """Write the gateway's OpenAPI document with the paths that pass through and with MCP servers."""
    schema = httpx.get(f"{url}/openapi.json", timeout=30).json()
    for path, methods in PASSING.items():
        names = [name for name in ("id", "other") if "{" + name + "}" in path]
        parameters = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
        body = {"type": "object", "properties": {"model": MODEL, "stream": {"type": "boolean"}}}
        schema["paths"][f"/v1/{path}"] = {method: _operation(parameters, body, method) for method in methods}
    bodies = schema["components"]["schemas"]
    for name in ("ChatBody", "ResponsesBody", "MessagesBody", "CompletionBody", "EmbeddingBody", "TokenCountBody"):
        bodies[name]["properties"]["model"] = MODEL
    for name in ("ChatBody", "ResponsesBody", "MessagesBody"):
        bodies[name]["properties"]["tools"] = {"anyOf": [{}, {"type": "array", "items": {"anyOf": [MCP_TOOL, {}]}}]}
    bodies["MessagesBody"]["properties"]["mcp_servers"] = {"anyOf": [{}, {"type": "array", "items": MCP_SERVER}]}
    file.write_text(json.dumps(schema), "utf-8")


def _operation(parameters: list[dict[str, Any]], body: dict[str, Any], method: str) -> dict[str, Any]:
    operation: dict[str, Any] = {"parameters": parameters, "responses": {"default": {"description": "any"}}}
    if method in ("post", "put", "patch"):
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _await_stores(gateway: GatewayProcess) -> None:
    headers = {"authorization": f"Bearer {KEYS[0]}"}
    for _ in range(600):
        if httpx.get(f"{gateway.url}/v1/vector_stores", headers=headers).status_code == 200:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    main()
