"""What tests of the tool `file_search` share: a small handbook in a vector store, and answers about it."""

import json
import time
from typing import Any

import httpx
from openai import OpenAI

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

CONFIG = """
[prompt]
templates = []
[records]
drain_s = 0.2
[embedder]
kind = "sentence"
[store]
kind = "exact"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
responses = ["native-*"]
[routing]
default = "gpt-4o"
[keys.alice]
secret = "alice-key"
"""
LEAVE = (
    b"# Leave\n\n## Annual\n\nEvery employee has fifteen days of paid annual leave. Trainees have twelve.\n\n"
    b"## Sick\n\nWho is sick calls the office before nine o'clock in the morning.\n"
)
PAY = b"# Pay\n\nSalaries are paid on the last working day of the month.\n"
QUESTION = "How many days of annual leave does an employee have?"
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}


Filled = tuple[str, dict[str, str]]
"""A store's id, and the id of each of its files by name."""


def ready(process: GatewayProcess, *parts: str) -> GatewayProcess:
    """Wait until these parts are ready. No test here needs the classifier."""
    process.wait("/health/live")
    deadline = time.monotonic() + 120
    while True:
        now = httpx.get(process.url + "/health/ready").json()["parts"]
        if all(now.get(part) == "ready" for part in ("embedder", "collections", *parts)):
            return process
        assert time.monotonic() < deadline, process.log.read_text("utf-8")
        time.sleep(0.1)


def client_of(gateway: GatewayProcess, key: str) -> OpenAI:
    return OpenAI(base_url=gateway.url + "/v1", api_key=f"{key}-key", max_retries=0)


def filled(client: OpenAI, **files: bytes) -> Filled:
    """Create a store of Markdown files. Each file has its name as an attribute."""
    store, ids = client.vector_stores.create(name="handbook").id, {}
    for name, content in files.items():
        ids[name] = client.files.create(file=(f"{name}.md", content), purpose="assistants").id
        file = client.vector_stores.files.create_and_poll(ids[name], vector_store_id=store, attributes={"about": name})
        assert file.status == "completed", file.last_error
    return store, ids


def said(text: str, **more: Any) -> Script:
    message = {"role": "assistant", "content": text, **more}
    return Script(
        pieces=[json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()]
    )


def streamed(*texts: str) -> Script:
    choices = [{"index": 0, "delta": {"content": text}} for text in texts]
    events = [*choices, {"index": 0, "delta": {}, "finish_reason": "stop"}]
    pieces = [b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in events]
    return Script(
        headers=[("content-type", "text/event-stream")], pieces=[*pieces, b"data: [DONE]\n\n"], framing="chunked"
    )


def tool(*stores: str, **more: Any) -> list[Any]:
    return [{"type": "file_search", "vector_store_ids": list(stores), **more}]


def sent(upstream: UpstreamInThread) -> Any:
    return json.loads(upstream.double.received[-1].body)
