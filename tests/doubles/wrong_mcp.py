"""An MCP server over HTTP that answers one kind of request wrongly. Its path says which and how: `/tools/call/id`."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWERS: dict[str, Any] = {
    "tools/list": {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]},
    "tools/call": {"content": [{"type": "text", "text": "fine"}]},
}
WRONG = {
    "text": b"hello",
    "half": b'{"jsonrpc": "2.0", "id": ',
    "null": b"null",
    "list": b"[]",
    "number": b"5",
    "empty": b"",
    "deep": b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000,
    "huge": b'{"jsonrpc":"2.0","id":1,"result":"' + b"x" * 20_000_000 + b'"}',
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self._send(405, b"")

    def do_DELETE(self) -> None:
        self._send(200, b"")

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, (stage, kind) = request.get("method", ""), self.path.strip("/").rsplit("/", 1)
        if "id" not in request:
            self._send(202, b"")
        elif method == stage:
            self._wrong(kind, request)
        else:
            self._send(200, self._answer(request))

    def _answer(self, request: Any, **more: Any) -> bytes:
        given = request.get("params") or {}
        result = ANSWERS.get(request["method"]) or {
            "protocolVersion": given.get("protocolVersion", "2025-06-18"),
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "wrong", "version": "1"},
        }
        return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result, **more}).encode()

    def _wrong(self, kind: str, request: Any) -> None:
        match kind:
            case "hang":
                time.sleep(20)
            case "close":
                self.close_connection = True
            case "status":
                self._send(500, b"<html>")
            case "id":
                self._send(200, self._answer(request, id="another"))
            case "result":
                self._send(200, self._answer(request, result={"tools": "none", "content": 5}))
            case "error":
                self._send(200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": "no"}).encode())
            case _:
                self._send(200, WRONG[kind])

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


KINDS = (*WRONG, "hang", "close", "status", "id", "result", "error")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the default of 5, some of many connections at once are reset


@contextmanager
def wrong_server() -> Iterator[int]:
    """Run the server, and yield its port."""
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
