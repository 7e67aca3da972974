"""nginx in two roles: as the upstream that always gives the same completion, and as the plainest proxy."""

import json
import os
import shutil
from pathlib import Path

from harness.processes import HOST, Process, free_port

COMPLETION = json.dumps(
    {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4o-mini",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The capital of France is Paris.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 14, "completion_tokens": 8, "total_tokens": 22},
        "system_fingerprint": "fp_benchmark",
    }
)

MESSAGE = json.dumps(
    {
        "id": "msg_benchmark",
        "type": "message",
        "role": "assistant",
        "model": "claude-4",
        "content": [{"type": "text", "text": "The capital of France is Paris."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 14,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 8,
            "service_tier": "standard",
        },
    }
)

GENERATED = json.dumps(
    {
        "candidates": [
            {
                "content": {"parts": [{"text": "The capital of France is Paris."}], "role": "model"},
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 14, "candidatesTokenCount": 8, "totalTokenCount": 22},
        "modelVersion": "gemini-2.5-flash",
        "responseId": "benchmark",
    }
)

CONVERSED = json.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "The capital of France is Paris."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 14, "outputTokens": 8, "totalTokens": 22},
        "metrics": {"latencyMs": 500},
    }
)

# nginx's files are all in its own folder, and nothing is logged
CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log /dev/null crit;
{user}
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 64m;
  keepalive_requests 1000000000;
  keepalive_timeout 3600s;
  tcp_nodelay on;
  {upstream}
  server {{
    listen {host}:{port};
    {location}
  }}
}}
"""
FIXED = """location /v1/messages {{
      default_type application/json;
      return 200 '{message}';
    }}
    location /v1beta/ {{
      default_type application/json;
      return 200 '{generated}';
    }}
    location /model/ {{
      default_type application/json;
      return 200 '{conversed}';
    }}
    location / {{
      default_type application/json;
      return 200 '{completion}';
    }}"""
PROXY = """location / {{
      proxy_pass http://next;
      proxy_http_version 1.1;
      proxy_set_header connection "";
      proxy_buffering {buffering};
    }}"""
NEXT = "upstream next {{ server {host}:{port}; keepalive 256; keepalive_requests 1000000000; }}"


def program() -> str:
    return shutil.which("nginx") or "/usr/sbin/nginx"


def fixed(folder: Path) -> tuple[Process, int]:
    """Start the upstream. Every request gets the same answer, in the form of the API that its path belongs to."""
    answers = {"completion": COMPLETION, "message": MESSAGE, "generated": GENERATED, "conversed": CONVERSED}
    return _start(folder, "", FIXED.format(**answers))


def proxy(folder: Path, upstream_port: int, *, buffering: bool = True) -> tuple[Process, int]:
    """Start a proxy with kept-alive connections to the upstream."""
    return _start(
        folder,
        NEXT.format(host=HOST, port=upstream_port),
        PROXY.format(buffering="on" if buffering else "off"),
    )


def _start(folder: Path, upstream: str, location: str) -> tuple[Process, int]:
    folder.mkdir(parents=True)
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    text = CONFIG.format(folder=folder, user=user, upstream=upstream, host=HOST, port=port, location=location)
    config.write_text(text, "utf-8")
    process = Process([program(), "-p", str(folder), "-c", str(config), "-e", "/dev/null"], folder / "log")
    process.wait_port(port, 10)
    return process, port
