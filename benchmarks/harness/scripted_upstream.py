"""An upstream with scripted answers for clients: a sentence, JSON that fits the schema, or tool calls. It speaks
OpenAI's API, and on `/messages` Anthropic's (`scripted_messages.py`).

Run as a program: `scripted_upstream.py PORT`, with `benchmarks/` on the path.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

ANSWER = "The capital of France is Paris."
THOUGHT = "It must be Paris."
SEVERAL = "and of Italy"
"""A question with these words is answered with two tool calls."""
REFUSED = "Refuse this."
HEAD = {"id": "chatcmpl-1", "created": 1700000000, "system_fingerprint": "fp_1"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}


def instance(schema: Mapping[str, Any]) -> Any:
    """Return a value that fits a simple JSON schema."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("type") == "object":
        return {name: instance(field) for name, field in schema.get("properties", {}).items()}
    return {"array": [], "integer": 7, "number": 7.5, "boolean": True}.get(str(schema.get("type")), "Paris")


def text_of(content: Any) -> str:
    """Return the text of a message's content."""
    parts = content if isinstance(content, list) else [{"text": content}]
    return " ".join([str(part.get("text") or "") for part in parts])


def has_picture(content: Any) -> bool:
    parts = content if isinstance(content, list) else []
    return any(
        str((part.get("image_url") or {}).get("url")).startswith("data:image/png;base64,iVBOR") for part in parts
    )


def message(ask: Mapping[str, Any]) -> dict[str, Any]:
    thought = {"reasoning_content": THOUGHT} if ask.get("reasoning_effort") else {}
    return {**answered(ask), **thought}


def answered(ask: Mapping[str, Any]) -> dict[str, Any]:
    last = ask["messages"][-1]
    tools, choice = ask.get("tools") or (), ask.get("tool_choice", "auto")
    if tools and choice != "none" and ask["messages"][-1]["role"] != "tool":
        name = choice["function"]["name"] if isinstance(choice, dict) else tools[0]["function"]["name"]
        schema = next(tool["function"] for tool in tools if tool["function"]["name"] == name).get("parameters") or {}
        call = {"name": name, "arguments": json.dumps(instance(schema))}
        several = 2 if SEVERAL in text_of(last["content"]) else 1
        calls = [{"id": f"call_{number}", "type": "function", "function": call} for number in range(1, several + 1)]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    wished = ask.get("response_format") or {}
    if wished.get("type") == "json_schema":
        return {"role": "assistant", "content": json.dumps(instance(wished["json_schema"]["schema"]))}
    if "picture" in text_of(last["content"]):
        return {"role": "assistant", "content": ANSWER if has_picture(last["content"]) else "There is no picture."}
    return {"role": "assistant", "content": '{"city": "Paris"}' if wished.get("type") == "json_object" else ANSWER}


def chat(ask: Mapping[str, Any]) -> bytes:
    said = message(ask)
    reason = "tool_calls" if said.get("tool_calls") else "stop"
    logprobs = {"content": [{"token": "The", "logprob": -0.1, "bytes": [84], "top_logprobs": []}]}
    choices = [
        {
            "index": index,
            "message": said,
            "finish_reason": reason,
            "logprobs": logprobs if ask.get("logprobs") else None,
        }
        for index in range(ask.get("n") or 1)
    ]
    whole = {**HEAD, "object": "chat.completion", "model": ask["model"], "choices": choices, "usage": USAGE}
    return json.dumps(whole).encode()


def chat_events(ask: Mapping[str, Any]) -> bytes:
    said = message(ask)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": said["reasoning_content"]}] if "reasoning_content" in said else []
    for place, call in enumerate(said.get("tool_calls") or ()):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        deltas.append({"tool_calls": [{**call, "index": place, "function": {"name": name, "arguments": ""}}]})
        halves = (arguments[:5], arguments[5:])
        deltas += [{"tool_calls": [{"index": place, "function": {"arguments": half}}]} for half in halves]
    deltas += [{"content": f"{word} "} for word in (said["content"] or "").split()]
    reason = "tool_calls" if said.get("tool_calls") else "stop"
    steps = [*((delta, None) for delta in deltas), ({}, reason)]
    head = {**HEAD, "object": "chat.completion.chunk", "model": ask["model"]}
    chunks: list[object] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in steps
    ]
    if (ask.get("stream_options") or {}).get("include_usage"):
        chunks.append({**head, "choices": [], "usage": USAGE})
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"


def completion(ask: Mapping[str, Any]) -> bytes:
    choice = {"index": 0, "text": " three", "finish_reason": "stop", "logprobs": None}
    value = {**HEAD, "object": "text_completion", "model": ask["model"], "choices": [choice], "usage": USAGE}
    return json.dumps(value).encode()


def embeddings(ask: Mapping[str, Any]) -> bytes:
    given = ask["input"] if isinstance(ask["input"], list) else [ask["input"]]
    size = ask.get("dimensions") or 4
    vector: Any = [0.5] * size
    if ask.get("encoding_format") == "base64":
        import base64
        import struct

        vector = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(given))]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    return json.dumps({"object": "list", "data": data, "model": ask["model"], "usage": usage}).encode()


def answer(path: str, ask: Mapping[str, Any]) -> tuple[int, str, bytes]:
    """Return the status, the media type and the body."""
    if "messages" in ask and text_of(ask["messages"][-1]["content"]) == REFUSED:
        fault = {"type": "rate_limit_error", "code": "rate_limit_exceeded", "message": "Too many requests."}
        return 429, "application/json", json.dumps({"type": "error", "error": fault}).encode()
    return (200, *answer_rightly(path, ask))


def answer_rightly(path: str, ask: Mapping[str, Any]) -> tuple[str, bytes]:
    if path.partition("?")[0].endswith("/messages"):
        from harness.scripted_messages import answer_message

        return answer_message(ask)
    if path.partition("?")[0].endswith("/count_tokens"):
        return "application/json", b'{"input_tokens": 14}'
    if path.endswith("/chat/completions") and ask.get("stream"):
        return "text/event-stream", chat_events(ask)
    answers = {"/chat/completions": chat, "/completions": completion, "/embeddings": embeddings}
    return "application/json", next(give for end, give in answers.items() if path.endswith(end))(ask)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = int(head.lower().partition("content-length:")[2].partition("\r\n")[0] or 0)
            status, kind, body = answer(head.split(" ")[1], json.loads(await reader.readexactly(length)))
            writer.write(
                f"HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()
    writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
