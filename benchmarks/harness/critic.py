"""A scripted critic on a real socket, in place of a stronger model.

If the feedback in its prompt lists the right answers, the critic writes an instruction that lists them and asks for
exactly one. Each time it words the instruction differently.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LABELS = re.compile(r"The answer is none of: (.+?)\. ")
WANTED = re.compile(r"Wanted: '([^'\n]+)'")
WORDINGS = (
    ("", "{{{{ query }}}}\n\nAnswer with exactly one of: {labels}."),
    ("You answer with one label and nothing else. The labels: {labels}.", "{{{{ query }}}}"),
    ("", "Labels: {labels}\n\nText: {{{{ query }}}}\n\nThe label, alone:"),
    ("Reply with a single label.", "{{{{ query }}}}\nChoose from: {labels}\nLabel:"),
)


@contextmanager
def scripted_critic() -> Iterator[int]:
    """Start the critic and yield its port."""
    asked = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal asked
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            said = reply(body["messages"][-1]["content"], asked)
            asked += 1
            choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            usage = {"prompt_tokens": len(json.dumps(body)) // 4, "completion_tokens": len(said) // 4}
            raw = json.dumps({"id": "critic", "model": "critic", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Discard the server's log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def reply(prompt: str, number: int) -> str:
    listed = LABELS.search(prompt)
    labels = listed[1] if listed else ", ".join(sorted(set(WANTED.findall(prompt))))
    system, user = (text.format(labels=labels) for text in WORDINGS[number % len(WORDINGS)])
    why = "The answers are sentences where one of few labels is wanted; the template never says which there are."
    return f"{why}\n\n<<<system\n{system}\n>>>\n<<<user\n{user}\n>>>"
