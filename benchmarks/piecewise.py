"""A long text through a small window with the real model: cost and quote, order, streaming.

    python benchmarks/piecewise.py --data FOLDER [--tokens 2600] [--window 1024]

FOLDER holds `long_texts/`. A gateway with the 135M model is started, and asked twice with the stock client: to rewrite
a text (`piecewise`, as a stream) and to list what is in it (`gather`). What so small a model writes is of no use; the
figures are about the machinery. The strategies are named, since the engine
could take the whole. The place of a streamed piece is the twentieth of the text with which it shares the
largest share of its rarer words.
"""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import openai
from harness import foreword
from harness.processes import HOST
from harness.report import table

CONFIG = (
    foreword.LOCAL
    + """
[data]
folder = "{data}"
[records]
policy = "none"
[context]
piece_tokens = 160
gather_tokens = 100
parallel_calls = 1
[models.small]
backend = "local"
upstream = "smollm2-135m-instruct"
window_tokens = {window}
"""
)
REWRITE = "Rewrite the text in simple words, without leaving anything out."
LIST = "List all the people who are mentioned in the text."
SLICES = 20


def preview(port: int, message: str, strategy: str) -> dict[str, Any]:
    """Return the strategy's note, without calling a model."""
    messages = [{"role": "user", "content": message}]
    body = {"model": "small", "messages": messages, "foreword": {"strategy": strategy}}
    told = json.loads(foreword.post(port, "/v1/foreword/preview", body, timeout_s=300))
    return next(note for note in told["notes"] if note["stage"] == "condense")


def place_of(piece: str, slices: Sequence[Counter[str]]) -> int:
    """Return the slice of the text that shares the most words with a piece. Rarer words count more."""
    seen = Counter(word for one in slices for word in one)
    words = {word for word in piece.lower().split() if seen[word]}
    return max(range(len(slices)), key=lambda n: sum(1 / seen[word] for word in words if word in slices[n]))


def sliced(text: str) -> list[Counter[str]]:
    words = text.lower().split()
    size = -(-len(words) // SLICES)
    return [Counter(words[start : start + size]) for start in range(0, len(words), size)]


def rewritten(client: openai.OpenAI, port: int, text: str) -> list[list[str]]:
    message = f"{REWRITE}\n\n{text}"
    note = preview(port, message, "piecewise")
    quote, began = note["data"]["quote"], time.monotonic()
    stream = client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": message}],
        temperature=0,
        stream=True,
        extra_body={"foreword": {"strategy": "piecewise", "closing_event": True}},
    )
    times, pieces, spent = [], [], {}
    for chunk in stream:
        spent = (chunk.model_extra or {}).get("foreword", {}).get("pieces") or spent
        if chunk.choices and chunk.choices[0].delta.content:
            times.append(time.monotonic() - began)
            pieces.append(chunk.choices[0].delta.content)
    slices = sliced(text)
    places = [place_of(piece, slices) for piece in pieces if len(piece.split()) > 5]
    rising = sum(first <= second for first, second in pairwise(places))
    return [
        ["strategy", note["decision"]],
        ["pieces: quoted, made", f"{quote['parts']}, {spent['pieces']}"],
        ["calls: quoted, made", f"{quote['calls']}, {spent['calls']}"],
        ["tokens read: quoted, spent", f"{quote['tokens_in']}, {spent['tokens_in']}"],
        ["tokens written: quoted, spent", f"{quote['tokens_out']}, {spent['tokens_out']}"],
        ["first text after, last after (s)", f"{times[0]:.1f}, {times[-1]:.1f}"],
        ["events with text", str(len(pieces))],
        ["neighbours in the order of the text", f"{rising} of {len(places) - 1}"],
    ]


def gathered(client: openai.OpenAI, port: int, text: str) -> list[list[str]]:
    message = f"{LIST}\n\n{text}"
    note = preview(port, message, "gather")
    quote = note["data"]["quote"]
    answer = client.chat.completions.create(
        model="small",
        messages=[{"role": "user", "content": message}],
        temperature=0,
        max_tokens=60,
        extra_body={"foreword": {"strategy": "gather"}},
    )
    told = (answer.model_extra or {})["foreword"]
    read, wrote = (sum(max(0, call[name]) for call in told["calls"]) for name in ("prompt_tokens", "completion_tokens"))
    figures = told["context"]
    return [
        ["strategy", note["decision"]],
        ["calls: quoted, made", f"{quote['calls']}, {len(told['calls'])}"],
        ["tokens read: quoted, spent", f"{quote['tokens_in']}, {read}"],
        ["tokens written: quoted, spent", f"{quote['tokens_out']}, {wrote}"],
        ["unread, cut", f"{figures['unread']}, {figures['cut']}"],
        ["said", figures["said"]],
    ]


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--tokens", default=2600, show_default=True, help="The length of the text, at four characters a token.")
@click.option("--window", default=1024, show_default=True)
def main(data: Path, tokens: int, window: int) -> None:
    """Rewrite a text piece by piece, and gather a list from it."""
    text = next((data / "long_texts").glob("*_en*")).read_text("utf-8")[30_000:][: 4 * tokens].strip()
    with tempfile.TemporaryDirectory(prefix="foreword-piecewise-") as scratch:
        config = CONFIG.replace("{data}", f"{scratch}/data").replace("{window}", str(window))
        server, port = foreword.start(Path(scratch) / "gateway", config, ready_s=600)
        try:
            client = openai.OpenAI(base_url=f"http://{HOST}:{port}/v1", api_key="none", max_retries=0, timeout=3600)
            click.echo(table(["piecewise", "figures"], rewritten(client, port, text)))
            click.echo("")
            click.echo(table(["gather", "figures"], gathered(client, port, text)))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
