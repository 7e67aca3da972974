"""The answers of `scripted_upstream.py` in the form of Anthropic's API."""

import json
from collections.abc import Mapping
from typing import Any

from harness.scripted_upstream import ANSWER, SEVERAL, THOUGHT, instance, text_of

USAGE = {"input_tokens": 9, "output_tokens": 7}


def answer_message(ask: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the media type and the body."""
    whole = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": ask["model"],
        "content": _blocks(ask),
        "stop_sequence": None,
        "usage": USAGE,
    }
    whole["stop_reason"] = "tool_use" if whole["content"][-1]["type"] == "tool_use" else "end_turn"
    if not ask.get("stream"):
        return "application/json", json.dumps(whole).encode()
    events = _events(whole)
    return "text/event-stream", "".join([f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events]).encode()


def _blocks(ask: Mapping[str, Any]) -> list[dict[str, Any]]:
    last, tools = ask["messages"][-1], ask.get("tools") or []
    choice = ask.get("tool_choice") or {"type": "auto"}
    thought = (ask.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    thought = thought or bool((ask.get("output_config") or {}).get("effort"))
    first = [{"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"}] if thought else []
    parts = last["content"] if isinstance(last["content"], list) else []
    if tools and choice["type"] != "none" and not any(part["type"] == "tool_result" for part in parts):
        tool = next((each for each in tools if each["name"] == choice.get("name")), tools[0])
        given = instance(tool.get("input_schema") or {})
        several = 2 if SEVERAL in text_of(last["content"]) else 1
        uses = [{"type": "tool_use", "id": f"toolu_{n}", "name": tool["name"], "input": given} for n in range(several)]
        return [*first, *uses]
    form = (ask.get("output_config") or {}).get("format") or ask.get("output_format")
    if form:
        return [*first, {"type": "text", "text": json.dumps(instance(form["schema"]))}]
    text = ANSWER
    if "picture" in text_of(last["content"]):
        shown = [part for part in parts if part["type"] == "image"]
        text = ANSWER if shown and shown[0]["source"].get("data", "").startswith("iVBOR") else "There is no picture."
    return [*first, {"type": "text", "text": text}]


def _events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    head = {**whole, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}]
    for index, block in enumerate(whole["content"]):
        empty, deltas = _parts(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    return [*events, {"type": "message_delta", "delta": delta, "usage": USAGE}, {"type": "message_stop"}]


def _parts(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it starts, and what is added to it."""
    if block["type"] == "tool_use":
        written = json.dumps(block["input"])
        halves = (written[:5], written[5:])
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": half} for half in halves]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
        return {**block, "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    return {**block, "text": ""}, [{"type": "text_delta", "text": f"{word} "} for word in block["text"].split()]
