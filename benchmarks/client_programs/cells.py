"""Shared by the Python programs of this folder. A cell is a function that raises if the client is not served correctly.

A program is started as `PROGRAM URL CHAT_MODEL EMBEDDING_MODEL`, and prints one line of JSON per cell.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

URL, MODEL, EMBEDDING = (*sys.argv[1:], "", "", "")[:3]
FRANCE = "What is the capital of France?"
BOTH = "What is the weather in the capital of France and of Italy?"
REFUSED = "Refuse this."
"""The scripted backend refuses this with 429. The local engine answers it."""
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, in base64."""
WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def run(cells: dict[str, Callable[[], object]]) -> None:
    for name, cell in cells.items():
        try:
            cell()
            wrong = ""
        except BaseException as error:
            wrong = f"{type(error).__name__}: {error}"[:300]
        sys.stdout.write(json.dumps({"cell": name, "wrong": wrong}) + "\n")
        sys.stdout.flush()


def is_local() -> bool:
    """Whether the local engine answers: it reads no pictures, and is not asked for two calls at once."""
    return "scripted" not in MODEL


def paris(text: object) -> None:
    assert "Paris" in str(text), f"no Paris in {text!r}"
