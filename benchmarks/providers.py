"""Measures the CPU time of requests to the cloud providers' APIs, beside a chat completion that passes byte for byte.

The upstream is nginx with a fixed answer in each provider's form. The requests are those of `messages.py`: a short
question, and a coding agent's request of about 40 kB with tools, calls and results.
"""

from pathlib import Path

import click
from harness import foreword
from messages import CHAT, MESSAGES, Case, compare, long_chat, long_messages, short_chat

CONFIG = (
    foreword.PASS_THROUGH
    + """
[backends.anthropic]
kind = "anthropic"
base_url = "http://{host}:{upstream}/v1"
api_key = "sk-ant-upstream"
models = ["claude-*"]
[backends.azure]
kind = "azure"
base_url = "http://{host}:{upstream}"
api_key = "upstream"
api_version = "2024-10-21"
models = ["azure-gpt"]
[backends.gemini]
kind = "gemini"
base_url = "http://{host}:{upstream}/v1beta"
api_key = "upstream"
models = ["gemini-*"]
[backends.bedrock]
kind = "bedrock"
base_url = "http://{host}:{upstream}"
region = "us-east-1"
api_key = "upstream"
models = ["us.anthropic.*"]
[backends.signed]
kind = "bedrock"
base_url = "http://{host}:{upstream}"
region = "us-east-1"
access_key_id = "AKIA0"
secret_access_key = "upstream"
models = ["eu.anthropic.*"]
"""
)
GEMINI, BEDROCK, SIGNED = "gemini-2.5-flash", "us.anthropic.claude-4", "eu.anthropic.claude-4"
PLAIN, LONG, LONG_MESSAGES = "chat, byte-true", "agent's chat, byte-true", "agent's messages, byte-true"
CASES: dict[str, Case] = {
    PLAIN: (CHAT, short_chat("gpt-4o-mini"), ""),
    "chat to azure": (CHAT, short_chat("azure-gpt"), PLAIN),
    "chat to gemini": (CHAT, short_chat(GEMINI), PLAIN),
    "chat to bedrock": (CHAT, short_chat(BEDROCK), PLAIN),
    "chat to bedrock, signed": (CHAT, short_chat(SIGNED), PLAIN),
    "messages to gemini": (MESSAGES, short_chat(GEMINI), PLAIN),
    "messages to bedrock": (MESSAGES, short_chat(BEDROCK), PLAIN),
    LONG: (CHAT, long_chat("gpt-4o-mini"), ""),
    LONG_MESSAGES: (MESSAGES, long_messages("claude-4"), ""),
    "agent's chat to gemini": (CHAT, long_chat(GEMINI), LONG),
    "agent's chat to bedrock": (CHAT, long_chat(BEDROCK), LONG),
    "agent's chat to bedrock, signed": (CHAT, long_chat(SIGNED), LONG),
    "agent's messages to gemini": (MESSAGES, long_messages(GEMINI), LONG_MESSAGES),
    "agent's messages to bedrock": (MESSAGES, long_messages(BEDROCK), LONG_MESSAGES),
}


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3, show_default=True)
@click.option("--only", default="", help="Only cases whose name contains this, and those that they are compared with.")
@click.option("--beside", type=Path, help="The folder of another version, which gets the same requests in turn.")
@click.option("--other-tools", is_flag=True, help="Give each request tools of its own.")
def providers(rounds: int, seconds: int, only: str, beside: Path | None, other_tools: bool) -> None:
    """CPU per request to the cloud providers' APIs."""
    bases = {base for name, (_, _, base) in CASES.items() if only in name}
    chosen = {name: case for name, case in CASES.items() if only in name or name in bases}
    compare(chosen, CONFIG, rounds, seconds, beside, other_tools=other_tools)


if __name__ == "__main__":
    providers()
