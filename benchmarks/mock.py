"""A schema mock: answers each OpenAI endpoint that the conformance tests call with a valid object.

It checks that a body is JSON with the fields that OpenAI requires, and streams if asked to. Run as a program: `mock.py
PORT`.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

NAMES = ("gpt-6-astra", "text-embedding-3-small", "gpt-4o-mini")
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
MESSAGE = {"role": "assistant", "content": "Hello.", "refusal": None}
STREAM_TYPE = "text/event-stream"
Answer = tuple[int, str, bytes]


def _json(value: object, status: int = 200) -> Answer:
    return status, "application/json", json.dumps(value).encode()


def _refused(status: int, message: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _json({"error": error}, status)


def _events(values: list[object]) -> Answer:
    data = "".join(f"data: {json.dumps(value)}\n\n" for value in values)
    return 200, STREAM_TYPE, (data + "data: [DONE]\n\n").encode()


def chat(ask: dict[str, Any]) -> Answer:
    if not isinstance(ask.get("messages"), list) or not ask.get("model"):
        return _refused(400, "model and messages are required")
    head = {"id": "chatcmpl-1", "created": 1700000000, "model": ask["model"], "system_fingerprint": "fp_1"}
    if not ask.get("stream"):
        return _json({**head, "object": "chat.completion", "usage": USAGE, "choices": [_choice()]})
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "Hello."}, None),
        ({}, "stop"),
    ]
    chunks: list[object] = [
        {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        for delta, reason in deltas
    ]
    if (ask.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    return _events(chunks)


def _choice() -> dict[str, object]:
    return {"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": None}


def completion(ask: dict[str, Any]) -> Answer:
    if not ask.get("model") or "prompt" not in ask:
        return _refused(400, "model and prompt are required")
    choice = {"index": 0, "text": "Hello.", "finish_reason": "stop", "logprobs": None}
    value = {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": ask["model"]}
    if ask.get("stream"):
        return _events([{**value, "choices": [choice]}])
    return _json({**value, "choices": [choice], "usage": USAGE})


def embedding(ask: dict[str, Any]) -> Answer:
    if not ask.get("model") or "input" not in ask:
        return _refused(400, "model and input are required")
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return _json({"object": "list", "data": data, "model": ask["model"], "usage": usage})


def _card(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1700000000, "owned_by": "mock"}


def _stored(ask: dict[str, Any]) -> Answer:
    return chat({"model": "gpt-6-astra", "messages": []})


def _list(items: list[dict[str, object]]) -> Answer:
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return _json({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": False})


def _messages(ask: dict[str, Any]) -> Answer:
    return _list([{**MESSAGE, "id": "msg-1", "annotations": []}])


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1700000000,
    "status": "completed",
    "model": "gpt-6-astra",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
TOKENS = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}
ITEM = {"id": "msg_0", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}


def response(ask: dict[str, Any]) -> Answer:
    if not ask.get("stream"):
        return _json(RESPONSE)
    return _events([{"type": f"response.{name}", "response": RESPONSE} for name in ("created", "completed")])


ROUTES: tuple[tuple[str, str, Callable[[dict[str, Any]], Answer]], ...] = (
    ("POST", r"/chat/completions", chat),
    ("GET", r"/chat/completions", lambda ask: _list([json.loads(_stored(ask)[2])])),
    ("GET", r"/chat/completions/[^/]+/messages", _messages),
    ("GET", r"/chat/completions/[^/]+", _stored),
    ("POST", r"/chat/completions/[^/]+", _stored),
    (
        "DELETE",
        r"/chat/completions/[^/]+",
        lambda ask: _json({"id": "chatcmpl-1", "deleted": True, "object": "chat.completion.deleted"}),
    ),
    ("POST", r"/responses", response),
    ("POST", r"/responses/compact", lambda ask: _json({**RESPONSE, "object": "response.compaction", "usage": TOKENS})),
    ("POST", r"/responses/input_tokens", lambda ask: _json({"object": "response.input_tokens", "input_tokens": 1})),
    ("GET", r"/responses/[^/]+", response),
    ("DELETE", r"/responses/[^/]+", lambda ask: _json({"id": "resp_1", "object": "response", "deleted": True})),
    ("POST", r"/responses/[^/]+/cancel", response),
    ("GET", r"/responses/[^/]+/input_items", lambda ask: _list([ITEM])),
    ("POST", r"/completions", completion),
    ("POST", r"/embeddings", embedding),
    ("GET", r"/models", lambda ask: _json({"object": "list", "data": [_card(name) for name in NAMES]})),
    ("GET", r"/models/[^/]+", lambda ask: _json(_card("gpt-6-astra"))),
    ("DELETE", r"/models/[^/]+", lambda ask: _json({"id": "gpt-6-astra", "deleted": True, "object": "model"})),
)


def answer(method: str, path: str, body: bytes) -> Answer:
    path = path.split("?", 1)[0].removeprefix("/v1")
    for wanted, pattern, give in ROUTES:
        if wanted == method and re.fullmatch(pattern, path):
            try:
                ask = json.loads(body) if body else {}
            except ValueError:
                return _refused(400, "the body is not JSON")
            return give(ask)
    return _refused(404, f"no such endpoint: {method} {path}")


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            status, kind, body = answer(method, path, await _body(reader, head.lower()))
            lines = f"HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(lines.encode() + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    length = re.search(r"content-length: *(\d+)", head)
    if length:
        return await reader.readexactly(int(length[1]))
    body = b""
    while "transfer-encoding: chunked" in head:
        size = int(await reader.readline(), 16)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
        if size == 0:
            break
    return body


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    asyncio.run(_serve(parser.parse_args().port))
