"""An OpenAI-compatible server on a real socket. Its model is a function from the last messages to a text."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = list[dict[str, str]]
Mind = Callable[[str, Messages], str]
"""Maps the model's name and the messages to the answer."""


class Toy:
    """`asked` collects the request bodies."""

    def __init__(self, mind: Mind) -> None:
        self.mind = mind
        self.asked: list[dict[str, Any]] = []
        self.port = 0


@contextmanager
def toy_model(mind: Mind) -> Iterator[Toy]:
    toy = Toy(mind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # head and body are two writes; without this, the second would wait 40 ms for the first one's acknowledgement
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            toy.asked.append(body)
            said = toy.mind(body["model"], body["messages"])
            prompt = sum(len(message["content"].split()) for message in body["messages"])
            usage = {"prompt_tokens": prompt, "completion_tokens": len(said.split()), "total_tokens": prompt}
            choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            reply = json.dumps({"id": "x", "model": body["model"], "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Discard the server's log, which would clutter the test output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    toy.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield toy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
