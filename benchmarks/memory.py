"""Checks that a worker does not grow: resident memory over 200,000 requests through one worker.

The result is the memory after the last request, divided by the memory after the first 20,000.
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
from harness import foreword, nginx, texts
from harness.load import script, varied_script, wrk
from harness.peers import MODEL
from harness.processes import heaviest, rss_bytes
from harness.report import table

PATH = "/v1/chat/completions"
MEGABYTE = 1024 * 1024
LIMIT_S = 3600
SET_UPS = {
    "pass-through": foreword.PASS_THROUGH,
    "records": foreword.RECORDED,
    "rewrite + records": foreword.FULL_PATH,
}


@click.command()
@click.option("--requests", default=200_000, show_default=True)
@click.option("--first", default=20_000, show_default=True, help="The base is the memory after this many requests.")
@click.option("--set-up", type=click.Choice(list(SET_UPS)), default="records", show_default=True)
def memory(requests: int, first: int, set_up: str) -> None:
    """Measure the resident memory of one worker under 200,000 requests."""
    with tempfile.TemporaryDirectory(prefix="foreword-memory-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        upstream, upstream_port = nginx.fixed(scratch / "upstream")
        stack.callback(upstream.stop)
        gateway, port = foreword.start(scratch / "gateway", SET_UPS[set_up], upstream_port, ready_s=900)
        stack.callback(gateway.stop)
        worker = heaviest(gateway.pid)
        bodies = [
            json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}]})
            for text in texts.summaries(20_000)
        ]
        headers = {"content-type": "application/json"}
        lua = varied_script(scratch, "varied", bodies, headers)
        if set_up == "pass-through":
            lua = script(scratch, "fixed", bodies[0], headers)
        rows, base = _drive(port, lua, worker, requests, first)
    click.echo(f"{set_up}, one worker, different prompts\n")
    click.echo(table(["requests", "RSS MB", "over the base"], rows))
    click.echo(f"base: {base / MEGABYTE:.1f} MB after the first {first:,} requests")


def _drive(port: int, lua: Path, worker: int, requests: int, first: int) -> tuple[list[list[str]], int]:
    """Send load in slices of seconds. Returns a row for about each tenth of the requests."""
    done, base, rows, shown, spent = 0, 0, [["0", f"{rss_bytes(worker) / MEGABYTE:.1f}", ""]], 0, 0.0
    while done < requests and spent < LIMIT_S:
        # small slices before the base, so that it is taken at the right number of requests
        load = wrk(port, PATH, lua, 2 if done < first else 10, done)
        if load.errors:
            raise click.ClickException(f"{load.errors} of {load.requests} requests failed")
        done, spent = done + load.requests, spent + load.seconds
        rss = rss_bytes(worker)
        if done >= first and not base:
            base, shown = rss, done
            rows.append([f"{done:,}", f"{rss / MEGABYTE:.1f}", "base"])
        elif base and (done - shown >= requests // 10 or done >= requests):
            shown = done
            rows.append([f"{done:,}", f"{rss / MEGABYTE:.1f}", f"{rss / base - 1:+.1%}"])
    return rows, base


if __name__ == "__main__":
    memory()
