"""Checks that requests which the gateway does not rewrite reach the backend byte for byte.

The upstream answers each request with the SHA-256 of the body that it received.
"""

import hashlib
import json
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import foreword
from harness.processes import HOST
from harness.report import table

EACH = 200
# unusual but valid JSON: the order of keys, white space and unknown fields must survive
BODY = (
    '{ "messages" : [{"content": %s, "role":"user"}],\n  "x_unknown":1.50,'
    '"model":"gpt-4o-mini" ,"seed":12345678901234567890}'
)


class Hashing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        got = hashlib.sha256(self.rfile.read(int(self.headers["content-length"]))).hexdigest()
        choice = {"index": 0, "message": {"role": "assistant", "content": got}, "finish_reason": "stop"}
        body = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        return None


def check(scratch: Path, data: Path) -> str:
    """Return a table: for each set of prompts, how many were left alone, and how many of those arrived unchanged."""
    upstream = ThreadingHTTPServer((HOST, 0), Hashing)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    gateway, port = foreword.start(scratch / "gateway", foreword.FULL_PATH, upstream.server_port, ready_s=1200)
    try:
        sets: dict[str, list[str]] = {}
        for name, text in _prompts(data):
            sets.setdefault(name, []).append(text)
        rows = [_row(name, [_send(port, text) for text in _spread(texts)]) for name, texts in sets.items()]
    finally:
        gateway.stop()
        upstream.shutdown()
    head = ["prompts", "sent", "rewritten", "judged unimprovable or unknown", "left alone", "of these byte-identical"]
    return table(head, rows)


def _row(name: str, results: list[tuple[str, str, bool]]) -> list[str]:
    left = [same for template, _, same in results if not template]
    reasons = Counter(reason for template, reason, _ in results if not template)
    judged = sum(count for reason, count in reasons.items() if "improvable" in reason or "no known intent" in reason)
    rewritten = len(results) - len(left)
    return [name, str(len(results)), str(rewritten), str(judged), str(len(left)), str(sum(left))]


def _send(port: int, text: str) -> tuple[str, str, bool]:
    """Return the template that was used, why none was, and whether the upstream received our bytes."""
    body = (BODY % json.dumps(text)).encode()
    request = urllib.request.Request(
        f"http://{HOST}:{port}/v1/chat/completions", body, {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        got = json.load(answer)["choices"][0]["message"]["content"]
        headers = answer.headers
    reason = headers.get("x-foreword-rewrite") or headers.get("x-foreword-classify") or ""
    return headers.get("x-foreword-template", ""), reason, got == hashlib.sha256(body).hexdigest()


def _prompts(data: Path) -> Iterator[tuple[str, str]]:
    """Yield prompts that are clear already: the optimised side of BPO, IFEval, and out-of-scope questions."""
    for path, name, key in (
        ("bpo", "BPO, optimised", "optimized_prompt"),
        ("bpo", "BPO, original", "prompt"),
        ("ifeval", "IFEval", "prompt"),
    ):
        for file in sorted((data / path).glob("*.jsonl")):
            for line in file.read_text("utf-8").splitlines():
                row = json.loads(line)
                if isinstance(row.get(key), str):
                    yield name, row[key]


def _spread(texts: list[str]) -> list[str]:
    step = max(1, len(texts) // EACH)
    return texts[::step][:EACH]
