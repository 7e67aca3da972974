"""Reports the decisions about a request in `x-foreword-*` response headers."""

import re
from urllib.parse import quote

from gateway.ask import Mode
from gateway.exchange import Arm, Exchange
from gateway.ports import Reply

WITHHELD = (Arm.SHADOW, Arm.HELD)
"""Arms in which the rewrite is recorded but not sent. No header may name the template of such a rewrite."""
_UNPRINTABLE = re.compile("[^ -~]+")


def decisions(exchange: Exchange, reply: Reply) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer: the exchange's id, the backend, and one header per decision."""
    head = [(b"x-foreword-id", exchange.id.encode()), (b"x-foreword-backend", reply.backend.encode())]
    if exchange.mode is not Mode.OFF:
        head.append((b"x-foreword-mode", exchange.mode.value.encode()))
    if exchange.intent.known:
        head.append((b"x-foreword-intent", _ascii(exchange.intent.name)))
        head.append((b"x-foreword-confidence", f"{exchange.intent.confidence:.3f}".encode()))
    if exchange.rewrite.template and exchange.rewrite.arm not in WITHHELD and not exchange.rewrite.withheld:
        head.append((b"x-foreword-template", _ascii(f"{exchange.rewrite.template}@{exchange.rewrite.version}")))
    if exchange.rewrite.arm:
        head.append((b"x-foreword-arm", exchange.rewrite.arm.encode()))
    if exchange.plan.strategy != "direct":
        head.append((b"x-foreword-strategy", exchange.plan.strategy.encode()))
    if exchange.plan.said:
        head.append((b"x-foreword-context", _ascii(exchange.plan.said)))
    if exchange.calls:
        head.append((b"x-foreword-calls", str(len(exchange.calls)).encode()))
    for note in (*exchange.notes, *reply.notes):
        if note.decision == "direct":
            continue  # the stage did nothing
        value = note.decision + (f"; {note.reason}" if note.reason else "")
        head.append((f"x-foreword-{note.stage}".encode(), _ascii(value)))
    return head


def _ascii(text: str) -> bytes:
    """Return up to 200 characters of `text` as a header value. All but printable ASCII is percent-encoded."""
    text = text[:200]
    # checking the whole text first is ten times as fast as checking each character
    return (text if text.isascii() and text.isprintable() else _encoded(text)).encode()


def _encoded(text: str) -> str:
    return _UNPRINTABLE.sub(lambda match: quote(match[0]), " ".join(text.replace("…", "...").split()))
