"""The program `llm` against the gateway, run as a user runs it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import llm as _installed  # noqa: F401  # says whether it is there
from cells import FRANCE, MODEL, URL, paris, run

FOLDER = tempfile.mkdtemp(prefix="llm-")
ENTRY = f'[{{"model_id": gw, "model_name": "{MODEL}", "api_base": "{URL}", "supports_schema": true}}]'
Path(FOLDER, "extra-openai-models.yaml").write_text(ENTRY)


def llm(*words: str) -> str:
    command = [str(Path(sys.executable).parent / "llm"), "-m", "gw", *words, "-o", "temperature", "0", "--key", "none"]
    environment = {**os.environ, "LLM_USER_PATH": FOLDER}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-200:]
    return done.stdout


run(
    {
        "prompt": lambda: paris(llm(FRANCE)),
        "--no-stream": lambda: paris(llm(FRANCE, "--no-stream")),
        "-s": lambda: paris(llm(FRANCE, "-s", "Answer in one sentence.")),
        "--schema": lambda: json.loads(llm(FRANCE, "--schema", "city str", "-o", "max_tokens", "100")),
    }
)
