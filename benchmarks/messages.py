"""Measures the CPU time of requests to `/v1/messages`, byte-true and translated, beside a chat completion.

The upstream is nginx with a fixed answer. The long request is that of a coding agent: twelve tools, a system prompt of
two blocks, and a conversation with tool calls and results, about 40 kB. CPU is that of the whole process tree, as in
`overhead.py`. An agent sends the same tools each time; `--other-tools` gives each request tools of its own.
"""

import json
import statistics
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from harness import foreword, nginx
from harness.load import varied_script
from harness.measure import measure
from harness.peers import Running
from harness.processes import HOST
from harness.report import table

CONFIG = (
    foreword.PASS_THROUGH
    + """
[backends.anthropic]
kind = "anthropic"
base_url = "http://{host}:{upstream}/v1"
api_key = "sk-ant-upstream"
models = ["claude-*"]
"""
)
QUESTION = "What is the capital of France? Answer in one short sentence."
Case = tuple[str, dict[str, Any], str]
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
HEADERS = {"content-type": "application/json", "host": HOST, "x-api-key": "none", "anthropic-version": "2023-06-01"}
FILE = "def area(width: float, height: float) -> float:\n    return width * height\n\n\n" * 30


def short_chat(model: str) -> dict[str, Any]:
    return {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": QUESTION}]}


def long_messages(model: str) -> dict[str, Any]:
    """A coding agent's request in the form of Anthropic's API."""
    cached = {"cache_control": {"type": "ephemeral"}}
    turns: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": "Add a test for area."}]}]
    for number in range(10):
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "tool_1", "input": {"path": f"src/{number}.py"}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": FILE}
        turns.append({"role": "assistant", "content": [{"type": "text", "text": "I look at the next file."}, call]})
        turns.append({"role": "user", "content": [result]})
    turns[-1]["content"][-1] |= cached
    return {
        "model": model,
        "max_tokens": 8000,
        "system": [
            {"type": "text", "text": "You are a coding agent."},
            {"type": "text", "text": "Rules. " * 500} | cached,
        ],
        "tools": [
            {"name": f"tool_{n}", "description": "Reads a file. " * 20, "input_schema": _schema()} for n in range(12)
        ],
        "messages": turns,
    }


def long_chat(model: str) -> dict[str, Any]:
    """The same request in the form of OpenAI's API."""
    from gateway.wire.messages.as_chat import chat_body
    from gateway.wire.messages.losses import Losses

    request = chat_body(json.dumps(long_messages(model)).encode(), Losses())
    return {**json.loads(request.body), "max_tokens": 8000}


def _schema() -> dict[str, Any]:
    fields = {f"field_{number}": {"type": "string", "description": "One of the fields."} for number in range(6)}
    return {"type": "object", "properties": fields, "required": list(fields)}


CASES: dict[str, Case] = {
    "chat, byte-true": (CHAT, short_chat("gpt-4o-mini"), ""),
    "messages, byte-true": (MESSAGES, short_chat("claude-4"), "chat, byte-true"),
    "messages to a chat backend": (MESSAGES, short_chat("gpt-4o-mini"), "messages, byte-true"),
    "chat to an anthropic backend": (CHAT, short_chat("claude-4"), "chat, byte-true"),
    "agent's chat, byte-true": (CHAT, long_chat("gpt-4o-mini"), ""),
    "agent's messages, byte-true": (MESSAGES, long_messages("claude-4"), "agent's chat, byte-true"),
    "agent's messages to a chat backend": (MESSAGES, long_messages("gpt-4o-mini"), "agent's messages, byte-true"),
    "agent's chat to an anthropic backend": (CHAT, long_chat("claude-4"), "agent's chat, byte-true"),
}


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3, show_default=True)
@click.option("--only", default="", help="Only cases whose name contains this.")
@click.option("--beside", type=Path, help="The folder of another version, which gets the same requests in turn.")
@click.option("--other-tools", is_flag=True, help="Give each request tools of its own.")
def messages(rounds: int, seconds: int, only: str, beside: Path | None, other_tools: bool) -> None:
    """CPU per request of Anthropic's API."""
    chosen = {name: case for name, case in CASES.items() if only in name}
    compare(chosen, CONFIG, rounds, seconds, beside, other_tools=other_tools)


def compare(
    cases: Mapping[str, Case],
    config: str,
    rounds: int,
    seconds: int,
    beside: Path | None = None,
    *,
    other_tools: bool = False,
) -> None:
    """Send the requests of all cases in turn, in each round, and print the median CPU time of each case.

    A case is a path, a body, and the name of the case that it is compared with, or "". `beside` is the folder of
    another version.
    """
    versions: dict[str, Path | None] = {"this": None} | ({"other": beside} if beside else {})
    figures: dict[tuple[str, str], list[float]] = {(name, version): [] for name in cases for version in versions}
    with tempfile.TemporaryDirectory(prefix="foreword-compared-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        upstream, port = nginx.fixed(scratch / "upstream")
        stack.callback(upstream.stop)
        gateways = {}
        for version, source in versions.items():
            gateways[version] = foreword.start(scratch / version, config, port, source=source)
            stack.callback(gateways[version][0].stop)
        scripts = {
            name: varied_script(scratch, f"case{place}", _bodies(body, other_tools), HEADERS)
            for place, (name, (_, body, _)) in enumerate(cases.items())
        }
        for number in range(rounds):
            for name, version in figures:
                running = Running(*gateways[version], cases[name][0])
                load, cpu = measure(running, scripts[name], seconds, number)
                if load.errors:
                    raise click.ClickException(f"{name}: {load.errors} of {load.requests} requests failed")
                figures[name, version].append(cpu)
            click.echo(f"round {number + 1} done", err=True)
    middles = {each: statistics.median(figures[each]) for each in figures}
    rows = []
    for name, (_, body, base) in cases.items():
        row = [name, f"{len(json.dumps(body)):,}"]
        for version in versions:
            middle, before = middles[name, version], middles.get((base, version))
            row += [f"{middle:,.0f}", f"{middle / before:.2f}" if before else ""]
        rows.append(row)
    click.echo(f"{rounds} interleaved rounds of {seconds} s, medians\n")
    heads = ["CPU us a request", "times its byte-true one"]
    others = [f"{head}, other version" for head in heads] if beside else []
    click.echo(table(["request", "bytes", *heads, *others], rows))


def _bodies(body: dict[str, Any], other_tools: bool) -> list[str]:
    """Return a body, or 200 with different tools."""
    if not other_tools or "tools" not in body:
        return [json.dumps(body)]
    text = json.dumps(body)
    return [text.replace("One of the fields.", f"Field {number:03} of all.") for number in range(200)]


if __name__ == "__main__":
    messages()
