"""Compares HTTP/1.1 and HTTP/2 to a backend over TLS: CPU of the client's process for one request, and its time.

A granian server that speaks both answers a small JSON. The gateway's own HTTP/1.1 client, httpx with HTTP/1.1 and httpx
with HTTP/2 (h2) send the same requests in turns, at each concurrency.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import httpx
import trustme
from harness.processes import HOST, Process, free_port
from harness.report import table

from gateway.backends.connection_pool import ConnectionPool
from gateway.backends.http1 import AnswerBounds

APP = """
BODY = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}]}'
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": BODY})
"""
BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"hello " * 100 + b'"}]}'
Post = Callable[[], Awaitable[None]]


async def turn(post: Post, requests: int, concurrency: int) -> tuple[float, float]:
    """Return CPU and wall time in microseconds for one request."""
    for _ in range(concurrency):
        await post()
    left = requests

    async def client() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await post()

    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*[client() for _ in range(concurrency)])
    return (time.process_time() - cpu) * 1e6 / requests, (time.perf_counter() - wall) * 1e6 / requests


async def measure(port: int, ca: Path, requests: int, rounds: int) -> list[list[str]]:
    import ssl

    tls = ssl.create_default_context(cafile=str(ca))
    headers = [(b"content-type", b"application/json")]
    bounds = AnswerBounds(60, 60, 1 << 20)
    pool = ConnectionPool("localhost", port, tls=tls, headers=headers, connect_timeout_s=5, bounds=bounds, limit=1000)
    url, rows = f"https://localhost:{port}/v1/chat/completions", []
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with (
        httpx.AsyncClient(verify=tls, limits=limits) as first,
        httpx.AsyncClient(verify=tls, http1=False, http2=True, limits=limits) as second,
    ):

        async def own() -> None:
            answer = await pool.post(b"/v1/chat/completions", BODY)
            await answer.whole()

        async def with_first() -> None:
            (await first.post(url, content=BODY)).raise_for_status()

        async def with_second() -> None:
            answer = await second.post(url, content=BODY)
            assert answer.http_version == "HTTP/2"

        ways: dict[str, Post] = {"own, HTTP/1.1": own, "httpx, HTTP/1.1": with_first, "httpx, HTTP/2": with_second}
        for concurrency in (1, 16, 64):
            best: dict[str, tuple[float, float]] = {}
            for _ in range(rounds):
                for name, post in ways.items():
                    best[name] = min(best.get(name, (1e9, 1e9)), await turn(post, requests, concurrency))
            rows += [[str(concurrency), name, f"{cpu:.0f}", f"{wall:.0f}"] for name, (cpu, wall) in best.items()]
    pool.close()
    return rows


@click.command()
@click.option("--requests", default=1000, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="The round with the least CPU counts.")
def main(requests: int, rounds: int) -> None:
    """Print the table of docs/benchmarks.md, section *HTTP/2 to backends*."""
    folder, port, authority = Path(tempfile.mkdtemp(prefix="foreword-http2-")), free_port(), trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    (folder / "both.py").write_text(APP)
    program = [sys.executable, "-m", "granian", "--interface", "asgi", "--host", HOST, "--port", str(port)]
    files = ["--ssl-certificate", str(folder / "cert.pem"), "--ssl-keyfile", str(folder / "key.pem")]
    server = Process([*program, *files, "both:app"], folder / "log", cwd=folder)
    try:
        server.wait_port(port)
        rows = asyncio.run(measure(port, folder / "ca.pem", requests, rounds))
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    click.echo(table(["at once", "client", "CPU µs a request", "wall µs a request"], rows))


if __name__ == "__main__":
    main()
