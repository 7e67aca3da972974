"""Adds the gateway's `foreword` object to a reply. All other bytes of the reply stay unchanged."""

from collections.abc import Sequence

import msgspec

from gateway.exchange import Exchange, Note
from gateway.wire.sse import events

_encode = msgspec.json.Encoder().encode


def account(exchange: Exchange, late_notes: Sequence[Note] = ()) -> bytes:
    """Encode the `foreword` object, which reports the changes to the request and the sources added to the prompt.

    `late_notes` are the backend's own notes, such as the source passage of each part of the answer.
    """
    return _encode(
        {
            "exchange": exchange.id,
            "mode": exchange.mode,
            "prompt": exchange.recognised.ref or None,
            "intent": exchange.intent.name or None,
            "template": f"{exchange.rewrite.template}@{exchange.rewrite.version}"
            if exchange.rewrite.template
            else None,
            "arm": exchange.rewrite.arm or None,
            "prompt_tokens": _tokens(exchange),
            "calls": exchange.calls,
            "strategy": exchange.plan.strategy,
            "context": _context(exchange),
            "citations": [
                {
                    "n": number,
                    "id": chunk.id,
                    "collection": chunk.collection,
                    "source": chunk.cited,
                    "heading": chunk.heading,
                    "page": chunk.page or None,
                    "start": chunk.start,
                    "end": chunk.end,
                    "score": round(chunk.score, 4),
                    "text": chunk.text,
                }
                for number, chunk in enumerate(exchange.chunks, 1)
            ],
            **{note.stage: note.data for note in late_notes},
        }
    )


def _context(exchange: Exchange) -> dict[str, object] | None:
    """Describe how a text longer than the context window was handled: left out, condensed or read in parts.

    The description includes figures. Returns None if every text fitted.
    """
    if not exchange.plan.said:
        return None
    stage = "fit" if exchange.plan.strategy == "trimmed" else "condense"
    figures = next((note.data for note in reversed(exchange.notes) if note.stage == stage), {})
    # the results of all levels are in the record
    return {"said": exchange.plan.said, **{name: value for name, value in figures.items() if name != "levels"}}


def _tokens(exchange: Exchange) -> dict[str, object] | None:
    """Return the estimated prompt tokens without and with the rewrite, or None if no template was chosen."""
    rewrite = exchange.rewrite
    if not rewrite.tokens_with:
        return None
    return {"without_rewrite": rewrite.tokens_without, "with_rewrite": rewrite.tokens_with, "estimated": True}


def body(reply: bytes, extra: bytes) -> bytes:
    """Add the member `foreword` to a JSON object. Any other body is returned unchanged."""
    end = reply.rstrip()
    if not end.endswith(b"}") or not end.startswith(b"{"):
        return reply
    comma = b"" if end[1:-1].strip() == b"" else b","
    return end[:-1] + comma + b'"foreword":' + extra + b"}"


def closing_event(exchange: Exchange, late_notes: Sequence[Note]) -> bytes:
    """Return an extra chunk for the end of a stream, with the notes that are known only at the end."""
    data = {note.stage: note.data for note in late_notes}
    chunk = {"id": exchange.id, "object": "chat.completion.chunk", "choices": [], "foreword": data}
    return b"data: " + _encode(chunk) + b"\n\n"


def first_event(piece: bytes, extra: bytes) -> tuple[bytes, bool]:
    """Add the member `foreword` to the first JSON object in `piece`, which must hold whole events.

    Also returns whether there was a JSON object.
    """
    for event in events(piece):
        inner = event.data.strip()
        if inner.startswith(b"{") and inner.endswith(b"}"):
            # the object ends in the last `data` line of the event
            end = piece.rindex(b"}", event.start, event.stop)
            comma = b"" if inner[1:-1].strip() == b"" else b","
            return piece[:end] + comma + b'"foreword":' + extra + piece[end:], True
    return piece, False
