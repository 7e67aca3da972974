"""Measures what recording costs: CPU µs of `record` on the event loop, and of the drain, per record.

    python benchmarks/records.py

The exchange is a few-shot rewrite with 13 turns, five notes, and an answer of 0.4 kB or a stream of 300 chunks.
"""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time, thread_time_ns

import click
import msgspec

from gateway.ask import Ask, ClientKey, Endpoint, Turn
from gateway.exchange import Exchange, Note, Rewrite, SlotValue, Target
from gateway.ports import ExchangeOutcome
from gateway.records.database import Database
from gateway.records.drain import Drain
from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer

COUNT = 2000
QUERY = "Please classify this text: " + "my card was stolen yesterday in Paris " * 10
SHOTS = tuple(
    Turn("user", "Text: my card has not arrived yet " * 4) if number % 2 == 0 else Turn("assistant", "card_arrival")
    for number in range(12)
)
STAGES = ("route", "classify", "rewrite", "retrieve", "fit")
JSON = msgspec.json.encode(
    {
        "choices": [{"index": 0, "message": {"content": "An answer. " * 40}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 120},
    }
)
CHUNK = (
    b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
REPLIES = {
    "JSON": ExchangeOutcome("finished", 200, "main", "m", "application/json", body=JSON),
    "300 chunks": ExchangeOutcome(
        "finished", 200, "main", "m", "text/event-stream", body=CHUNK * 300 + b"data: [DONE]\n\n"
    ),
}


def exchange(id: str, policy: str) -> Exchange:
    raw = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": QUERY}]})
    data = {"template": "classify/en", "version": 3, "score": 0.9, "slots": ["text", "labels"]}
    return Exchange(
        id,
        Ask(Endpoint.CHAT, "m", raw, (Turn("user", QUERY, 0),)),
        ClientKey(record=policy),
        started_s=1_800_000_000.0,
        turns=(*SHOTS, Turn("user", QUERY)),
        rewrite=Rewrite("classify/en", 3, "few-shot", (SlotValue("text", QUERY, "query"),), ("1", "2", "3")),
        route=(Target("main", "m", 8192),),
        notes=tuple(Note(stage, "done", "because of what was seen", data, 120) for stage in STAGES),
    )


def median_us(work: Callable[[Exchange], None], exchanges: Sequence[Exchange]) -> float:
    took = []
    for one in exchanges:
        started = thread_time_ns()
        work(one)
        took.append(thread_time_ns() - started)
    return sorted(took)[len(took) // 2] / 1000


async def measure(folder: Path) -> None:
    spool = Spool(folder / "spool", "full", read_answer=read_answer)
    drain = Drain(spool, lambda: Database.open(f"sqlite:///{folder / 'records.db'}"), read_answer)
    await drain.flush()
    click.echo(f"{'policy':8} {'reply':12} {'record, µs':>10} {'drain, µs':>10} {'bytes':>8}")
    for policy in ("full", "hashed", "none"):
        for name, outcome in REPLIES.items():
            exchanges = [exchange(f"{policy} {name} {number}", policy) for number in range(COUNT)]
            record_us = median_us(lambda one, outcome=outcome: spool.record(one, outcome), exchanges)
            size = spool.bytes // COUNT
            started = process_time()
            await drain.flush()
            drain_us = (process_time() - started) / COUNT * 1e6
            click.echo(f"{policy:8} {name:12} {record_us:10.1f} {drain_us:10.1f} {size:8}")
    await drain.aclose()


@click.command(help=__doc__)
def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
