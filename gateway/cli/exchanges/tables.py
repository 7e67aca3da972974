"""Prints recorded exchanges as tables."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.ask import Turn
from gateway.cli.listing import facts_table, plain, print_rows
from gateway.exchange import Arm, Note
from gateway.records.archive import RecordedExchange
from gateway.records.database import Summary
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord

ARMS = {
    Arm.STABLE: "the version in use",
    Arm.CANARY: "the version on trial",
    Arm.HELD: "held back as a control",
    Arm.SHADOW: "decided in the shadow, not sent",
}


def print_exchanges(summaries: Sequence[Summary]) -> None:
    if not summaries:
        Console().print("No exchanges. A new exchange appears about a second after its answer.")
        return
    numbers = ("status", "tokens", "ms")
    print_rows(("time", "id", "key", "model", "intent", "template", *numbers), map(_cells, summaries), right=numbers)


def _cells(row: Summary) -> list[str]:
    status = str(row.status) if row.ending == "finished" else f"{row.status} {row.ending}"
    tokens = f"{_count(row.prompt_tokens)} + {_count(row.completion_tokens)}"
    cells = (_time(row.time_s), row.id, row.key, row.model, row.intent or "-", row.template or "-", status, tokens)
    return [*cells, f"{row.total_us / 1000:.1f}"]


def print_entry(entry: RecordedExchange) -> None:
    record = entry.record
    console = Console()
    console.print(_facts(record))
    if record.policy == "hashed":
        console.print("Only hashes were recorded: texts are shown as sha256 with their length.", style="yellow")
    console.print(_panel("prompt as received", _turns(record.turns)))
    if record.prompt is not None:
        title = "prompt as sent" if record.changed else "prompt that would have been sent (shadow mode)"
        console.print(_panel(title, _turns(record.prompt)))
    console.print(_notes(record.notes))
    for number, chunk in enumerate(record.chunks, 1):
        title = f"[{number}] {chunk.collection} · {chunk.source} · {chunk.score:.2f}"
        console.print(_panel(title, plain(chunk.text)))
    console.print(_panel("answer", plain(record.answer.text or record.error or "(none)")))
    for opinion in entry.feedback:
        console.print(_panel(f"feedback of {opinion.key}, {_time(opinion.time_s)}", _feedback(opinion)))


def _facts(record: ExchangeRecord) -> Table:
    rewrite = record.rewrite
    used = f"{rewrite.template} version {rewrite.version}, {rewrite.technique}" if rewrite.template else "none"
    usage = f"{_count(record.answer.prompt_tokens)} in, {_count(record.answer.completion_tokens)} out"
    facts = {
        "exchange": record.id,
        "time": _time(record.time_s),
        "asked": f"{record.key} for {record.model or 'the default'} at {record.endpoint}, mode {record.mode}",
        "intent": f"{record.intent.name} ({record.intent.confidence:.2f})" if record.intent.known else "unknown",
        "found prompt": record.recognised or "none",
        "template": f"{used}, {ARMS[rewrite.arm]}" if rewrite.arm else used,
        "context": f"{record.plan.strategy}, {record.plan.prompt_tokens} of {record.plan.window_tokens} tokens",
        "answered by": f"{record.backend or 'nobody'} {record.upstream}",
        "outcome": f"{record.ending}, status {record.status}, {record.answer.finish or 'no finish reason'}",
        "tokens": usage,
        "took": f"{record.total_us / 1000:.1f} ms, first byte after {record.first_byte_us / 1000:.1f} ms",
    }
    return facts_table(facts)


def _notes(notes: Iterable[Note]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("stage")
    table.add_column("decision")
    table.add_column("why")
    table.add_column("µs", justify="right")
    for note in notes:
        table.add_row(plain(note.stage), plain(note.decision), plain(note.reason), str(note.took_us))
    return table


def _turns(turns: Iterable[Turn]) -> Text:
    text = Text()
    for turn in turns:
        text.append(plain(f"{turn.role}: ", "bold cyan"))
        text.append(plain(turn.text) if turn.plain else Text("(not plain text)", style="dim"))
        text.append("\n")
    text.rstrip()
    return text


def _feedback(opinion: Feedback) -> Text:
    score = "" if opinion.score is None else f"{opinion.score:g}"
    fields = {"score": score, "label": opinion.label, "comment": opinion.comment, "answer": opinion.answer}
    return plain("\n".join(f"{name}: {value}" for name, value in fields.items() if value))


def _panel(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=plain(title, "bold"), title_align="left", border_style="dim")


def _count(tokens: int) -> str:
    return "?" if tokens < 0 else str(tokens)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
