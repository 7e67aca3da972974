"""Pieces of a chat completion's stream, and the events of the response to which they are translated."""

import json
from typing import Any


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def events(stream: bytes) -> list[dict[str, Any]]:
    found = []
    for block in stream.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        found.append(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found
