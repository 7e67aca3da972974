"""A scripted model for coding agents: a server with `/v1/chat/completions` and `/v1/messages` of its own.

Its answers depend on the number of results of tools in the conversation: it writes a file with the shell, reads the
file, and says what the file holds. It keeps what the agents sent. It runs in a thread.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SHELLS = ("Bash", "bash", "run_shell_command")
READERS = ("Read", "read", "read_file")
COMMAND = "printf 'forty-two\\n' > note.txt && ls"
FINAL = "The note says forty-two."
THOUGHT = "First the file, then its text."


class ScriptedAgentModel:
    """The server. `bodies` has the requests with tools, in order of arrival, each with its path."""

    def __init__(self, folder: str) -> None:
        """`folder` is the agent's working folder. Tools that read files need absolute paths."""
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.others: list[str] = []
        """The paths of all other requests."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, folder))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def tool_results(path: str, body: dict[str, Any]) -> list[str]:
    """Return the texts of the tool results in a request of either API."""
    if path.startswith("/v1/chat"):
        return [_text(message.get("content")) for message in body["messages"] if message.get("role") == "tool"]
    blocks = [
        block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
    ]
    return [_text(block.get("content")) for block in blocks if block.get("type") == "tool_result"]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def _step(path: str, body: dict[str, Any], folder: str) -> tuple[str, dict[str, Any] | None]:
    """Return the text of the next answer, and its tool call, if any."""
    names = [tool.get("name") or tool.get("function", {}).get("name") for tool in body.get("tools") or ()]
    done = len(tool_results(path, body))
    shell = next((name for name in names if name in SHELLS), None)
    reader = next((name for name in names if name in READERS), None)
    if shell is None or reader is None or done >= 2:
        return (FINAL if names else "A note"), None
    if done == 0:
        given = {"command": COMMAND, "description": "Writes the note"}
        return "I write the note.", {
            "name": shell,
            "input": given | ({"is_background": False} if "run" in shell else {}),
        }
    field = {"read": "path", "read_file": "file_path"}.get(reader, "file_path")
    return "I read it.", {"name": reader, "input": {field: f"{folder}/note.txt"}}


def _message_events(model: str, text: str, call: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    usage = {"input_tokens": 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0, "output_tokens": 1}
    head = {"id": "msg_s", "type": "message", "role": "assistant", "model": model, "content": []}
    yield {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "ping"}
    for piece in (text[:5], text[5:]):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
    yield {"type": "content_block_stop", "index": 0}
    if call is not None:
        block = {"type": "tool_use", "id": "toolu_" + call["name"], "name": call["name"], "input": {}}
        yield {"type": "content_block_start", "index": 1, "content_block": block}
        given = json.dumps(call["input"])
        for piece in (given[:9], given[9:]):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": 1, "delta": delta}
        yield {"type": "content_block_stop", "index": 1}
    delta = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def _chunks(model: str, text: str, call: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    yield chunk({"reasoning_content": THOUGHT})
    for piece in (text[:5], text[5:]):
        yield chunk({"content": piece})
    if call is not None:
        given = json.dumps(call["input"])
        function = {"name": call["name"], "arguments": given[:9]}
        yield chunk(
            {"tool_calls": [{"index": 0, "id": "call_" + call["name"], "type": "function", "function": function}]}
        )
        yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": given[9:]}}]})
    yield chunk({}, "tool_calls" if call else "stop")
    usage = {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110}
    yield {**chunk({}), "choices": [], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 40}}}


def _whole_message(events: Iterator[dict[str, Any]], text: str, call: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = next(events)["message"]
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    content += [{"type": "tool_use", "id": "toolu_" + call["name"], **call}] if call else []
    return {**message, "content": content, "stop_reason": "tool_use" if call else "end_turn"}


def _whole_completion(model: str, text: str, call: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if call is not None:
        function = {"name": call["name"], "arguments": json.dumps(call["input"])}
        message["tool_calls"] = [{"id": "call_" + call["name"], "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
    usage = {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def _handler(model: ScriptedAgentModel, folder: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Discard the server's log."""

        def do_HEAD(self) -> None:
            self._send(b"", "text/plain")

        def do_GET(self) -> None:
            model.others.append(self.path)
            self._send(b'{"data":[],"object":"list","has_more":false}')

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.partition("?")[0]
            if path not in ("/v1/chat/completions", "/v1/messages"):
                model.others.append(path)
                self._send(b'{"input_tokens":50}')
                return
            body = json.loads(raw)
            text, call = _step(path, body, folder)
            if body.get("tools"):
                model.bodies.append((path, body))
            else:
                model.others.append(path)
            self._answer(path, body, text, call)

        def _answer(self, path: str, body: dict[str, Any], text: str, call: dict[str, Any] | None) -> None:
            name = body.get("model", "")
            if path == "/v1/messages" and body.get("stream"):
                events = _message_events(name, text, call)
                data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
                self._send(data.encode(), "text/event-stream")
            elif path == "/v1/messages":
                self._send(json.dumps(_whole_message(_message_events(name, text, call), text, call)).encode())
            elif body.get("stream"):
                data = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(name, text, call))
                self._send(f"{data}data: [DONE]\n\n".encode(), "text/event-stream")
            else:
                self._send(json.dumps(_whole_completion(name, text, call)).encode())

        def _send(self, body: bytes, kind: str = "application/json") -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
