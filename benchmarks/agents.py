"""Runs coding agents against a scripted model: directly, and through the gateway in front of either API. The requests
that they sent directly are then sent to the local engine, too.

The model writes a file with the agent's shell, reads it, and says what it holds. An agent passes if the results of its
tools and its last words are the same as without a gateway. The agents are not dependencies of this project:

    npm install --prefix FOLDER @anthropic-ai/claude-code @qwen-code/qwen-code
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
from harness import foreword
from harness.processes import HOST
from harness.report import table
from harness.scripted_agent import FINAL, ScriptedAgentModel, tool_results

CONFIG = """
[prompt]
mode = "off"
templates = []
[records]
policy = "none"
[backends.openai]
kind = "openai"
base_url = "http://{host}:{upstream}/v1"
models = ["gpt-scripted"]
[backends.anthropic]
kind = "anthropic"
base_url = "http://{host}:{upstream}/v1"
models = ["claude-scripted"]
"""
LOCAL = "smollm2-135m-instruct"
TASK = "Write a note and tell me what it says."
LONGEST_S = 300
_VARYING = re.compile(r"(PGID: )\d+")


@dataclass(frozen=True)
class Agent:
    name: str
    model: str
    """The model that answers without a gateway."""
    command: Callable[[Path, str], list[str]]
    env: Callable[[str], dict[str, str]]


def _claude(programs: Path, model: str) -> list[str]:
    return [str(programs / "claude"), "-p", TASK, "--model", model, "--allowedTools", "Bash", "Read"]


def _qwen(programs: Path, model: str) -> list[str]:
    return [str(programs / "qwen"), "-p", TASK, "--yolo", "--auth-type", "openai", "--model", model]


def _anthropic(url: str) -> dict[str, str]:
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", **quiet}


def _openai(url: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none"}


AGENTS = (
    Agent("claude", "claude-scripted", _claude, _anthropic),
    Agent("qwen", "gpt-scripted", _qwen, _openai),
)
Outcome = tuple[list[str], str]
"""The tool results that the agent sent, and its last words."""


@click.command()
@click.option("--node", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the packages.")
def agents(node: Path) -> None:
    """Print how each agent fares. Exits with status 1 if an agent behaves differently through the gateway."""
    programs = node / "node_modules" / ".bin"
    rows, is_good = [], True
    for agent in AGENTS:
        version = _run([str(programs / agent.name), "--version"], {}, Path.cwd()).split()[0]
        expected, bodies = _outcome(agent, programs, agent.model, through=False)
        size = max(len(json.dumps(body)) for _, body in bodies)
        rows.append([f"{agent.name} {version}", "directly", f"{len(bodies)}", f"{size:,}", expected[1], "", ""])
        for model, api in (
            ("gpt-scripted", "an OpenAI-style backend"),
            ("claude-scripted", "an Anthropic-style backend"),
        ):
            done, sent = _outcome(agent, programs, model, through=True)
            same = done == expected and done[1] == FINAL
            is_good &= same
            rows.append(
                ["", api, f"{len(sent)}", "", done[1], "the same" if same else f"other: {done}", _lost(bodies, sent)]
            )
        rows.append(["", "the local engine", f"{len(bodies)}", "", "", _from_local_engine(bodies), ""])
    click.echo(
        table(["agent", "in front of", "requests", "largest", "last words", "calls and results", "left out"], rows)
    )
    sys.exit(not is_good)


def _outcome(
    agent: Agent, programs: Path, model: str, *, through: bool
) -> tuple[Outcome, list[tuple[str, dict[str, Any]]]]:
    with tempfile.TemporaryDirectory(prefix="foreword-agent-") as folder:
        home, work = Path(folder) / "home", Path(folder) / "work"
        home.mkdir()
        work.mkdir()
        scripted = ScriptedAgentModel(str(work))
        url, stop = f"http://{HOST}:{scripted.port}", scripted.stop
        if through:
            gateway, port = foreword.start(Path(folder) / "gateway", CONFIG, scripted.port)
            url = f"http://{HOST}:{port}"
        try:
            words = _run(agent.command(programs, model), {**agent.env(url), "HOME": str(home)}, work)
        finally:
            stop()
            if through:
                gateway.stop()
        path, last = scripted.bodies[-1] if scripted.bodies else ("", {"messages": []})
        results = [_VARYING.sub(r"\1N", text.replace(str(work), "WORK")) for text in tool_results(path, last)]
        return (results, words.strip()), scripted.bodies


def _from_local_engine(bodies: list[tuple[str, dict[str, Any]]]) -> str:
    """Return what the local engine answers to an agent's requests, in its first tokens. The small model calls no tool,
    and would write until its window is full.
    """
    answers = []
    with tempfile.TemporaryDirectory(prefix="foreword-agent-") as folder:
        gateway, port = foreword.start(Path(folder) / "gateway", foreword.LOCAL, ready_s=300)
        try:
            for path, body in bodies:
                url = f"http://{HOST}:{port}{path}"
                answers.append(_short_answer(url, body))
        finally:
            gateway.stop()
    return "; ".join(dict.fromkeys(answers))


def _short_answer(url: str, body: dict[str, Any]) -> str:
    wanted = {name: value for name, value in body.items() if name not in ("max_completion_tokens", "stream_options")}
    answer = httpx.post(url, json={**wanted, "model": LOCAL, "stream": False, "max_tokens": 16}, timeout=2 * LONGEST_S)
    said = answer.json()
    if answer.status_code != 200:
        return f"{answer.status_code}: {said['error']['message'][:200]}"
    if "content" in said:
        return f"200: {', '.join([block['type'] for block in said['content']])}"
    return f"200: {'tool_calls' if said['choices'][0]['message'].get('tool_calls') else 'text'}"


def _lost(came: list[tuple[str, dict[str, Any]]], sent: list[tuple[str, dict[str, Any]]]) -> str:
    """Return what the translation of the agent's own requests leaves out."""
    from gateway.wire.messages.as_chat import chat_body
    from gateway.wire.messages.losses import Losses
    from gateway.wire.messages.of_chat import messages_body

    losses = Losses()
    if came[0][0] == sent[0][0]:
        return "nothing: byte-true"
    for path, body in came:
        raw = json.dumps(body).encode()
        if path == "/v1/messages":
            chat_body(raw, losses)
        else:
            messages_body(raw, 8192, losses)
    note = losses.note()
    return note.reason if note else "nothing"


def _run(command: list[str], env: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.stdout or done.stderr[-300:]


if __name__ == "__main__":
    agents()
