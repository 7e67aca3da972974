"""Runs NBCE: reads many passages in parallel, and the question alone, and generates one answer.

Row 0 is the question alone, and row k is passage k and the question. Each passage is read once and cached. The question
is read after each passage, and every chosen token is added to all rows.
"""

from collections.abc import Callable, Generator, Sequence

import torch
from msgspec import Struct
from torch import Tensor

from gateway.ask import Nbce
from gateway.backends.local.torch_engine.answer import CHUNK, room_after
from gateway.backends.local.torch_engine.block import RowBlock
from gateway.backends.local.torch_engine.choice import RunningChoice, Say
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.mixer import Mixer
from gateway.backends.local.torch_engine.model import TokenSegment, TorchNetwork, WantedLogits
from gateway.backends.local.torch_engine.positions import Positions, Variant
from gateway.backends.local.torch_engine.prefixes import Prefixes
from gateway.backends.local.torch_engine.sampling import Sampler
from gateway.backends.local.torch_engine.stepper import Run
from gateway.wire.engine.pieces import EngineRequest

READ_AT_ONCE = 1024
"""The maximum number of tokens in a step, over all rows."""
GROUP = 32
"""The number of rows in a block. Rows of similar length share a block, so that they need little padding."""
JUDGED = 128
"""The likelihood is measured for this many tokens at the end of the question. The likelihood shows how well a passage
explains the question.
"""
SHARE = 4
"""Long rows are read in smaller groups, so that the tensors of a group take at most 1 / SHARE of the memory for all
rows.
"""


class PassageSpan(Struct):
    """The part of an answer that begins at character `start` and ends before `end`. The passage with number `context`,
    counted from 1, contributed most to this part.
    """

    context: int
    start: int
    end: int


class Windows(Struct):
    """A request as token numbers: the question, and a prefix for each row. Row 0 has the question alone, so its prefix
    has no passage.
    """

    prefixes: Sequence[Sequence[int]]
    question: Sequence[int]
    mixed: Nbce
    most_rows_bytes: int

    @property
    def longest(self) -> int:
        return max(map(len, self.prefixes))


class WindowsReport(Struct):
    """The report on a finished answer."""

    pooling: str = ""
    rows: int = 0
    dropped: int = 0
    remembered: int = 0
    """The number of passages whose keys and values came from the cache."""
    spans: list[PassageSpan] = []


def answer(
    model: TorchNetwork,
    tokens: Tokens,
    positions: Positions,
    prefixes: Prefixes,
    request: EngineRequest,
    windows: Windows,
    say: Say,
    tell: Callable[[WindowsReport], None],
) -> Run:
    """Generate one answer from all passages. `tell` gets a report for each token, before the token's text is sent."""
    prompt = windows.longest + len(windows.question)
    room = room_after(prompt, positions, request)
    behind = len(windows.question) + min(request.max_tokens, room)
    variant = positions.variant(windows.longest + behind)
    mixer = Mixer(windows.mixed)
    report = WindowsReport(mixer.pooling, len(windows.prefixes) - 1)
    rows = _WindowRows(model, behind, variant)
    most = windows.most_rows_bytes // model.shape.bytes_of(windows.longest + behind)
    judged = JUDGED if mixer.asks_for_likelihood and report.rows > 1 else 0
    for group in _groups(windows.prefixes, min(GROUP, max(1, most // SHARE))):
        values = yield from _read(model, prefixes, [windows.prefixes[row] for row in group], variant, report)
        block = rows.join(group, values)
        del values
        logits, likelihood = yield from _ask(block, windows.question, judged)
        if judged:
            mixer.explain(group, likelihood)
        rows.logits = torch.cat((rows.logits, logits)) if rows.parts[:-1] else logits
        rows.drop(mixer.worst(rows.logits, rows.numbers, most))
    total = sum(map(len, windows.prefixes[1:])) + len(windows.question)
    choice = RunningChoice(0, tokens, request, total, room, say)
    yield from _speak(rows, mixer, Sampler(request.knobs, 0), choice, report, tell)


def _speak(
    rows: "_WindowRows",
    mixer: Mixer,
    sampler: Sampler,
    choice: RunningChoice,
    report: WindowsReport,
    tell: Callable[[WindowsReport], None],
) -> Run:
    while True:
        logprobs = sampler.logprobs(mixer.mix(rows.logits, rows.numbers))
        token = sampler.pick(logprobs)
        speaker = mixer.spoke(token)

        def heard(speaker: int = speaker) -> None:
            _spoken_up_to(report.spans, speaker, choice.length)
            report.dropped = report.rows + 1 - len(rows.numbers)
            tell(report)

        choice.add(token, logprobs, heard)
        if choice.over:
            return
        rows.drop(mixer.far(rows.numbers))
        parts = yield [TokenSegment(block, torch.full((block.rows, 1), token)) for block, _ in rows.parts]
        rows.logits = torch.cat(parts)


def _spoken_up_to(spans: list[PassageSpan], context: int, length: int) -> None:
    """Record in `spans` that the answer's new text, up to character `length`, comes from passage `context`.

    If a stop text has shortened the answer, the spans are cut at `length`.
    """
    while spans and spans[-1].start >= length:
        spans.pop()
    end = spans[-1].end if spans else 0
    if spans and (spans[-1].context == context or length < end):
        spans[-1].end = length
    elif length > end:
        spans.append(PassageSpan(context, end, length))


def _groups(texts: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Group row numbers by similar length. Row 0, the question alone, comes first."""
    order = [0, *sorted(range(1, len(texts)), key=lambda row: len(texts[row]))]
    return [order[start : start + size] for start in range(0, len(order), size)]


def _read(
    model: TorchNetwork,
    prefixes: Prefixes,
    texts: Sequence[Sequence[int]],
    variant: Variant,
    report: WindowsReport,
) -> Generator[list[TokenSegment], list[Tensor], list[Tensor]]:
    """Return the keys and values of each text. Texts that are not in the cache are read first."""
    values = [prefixes.get(ids, variant) for ids in texts]
    report.remembered += sum(row is not None for row in values)
    missing = [at for at, row in enumerate(values) if row is None]
    while missing:
        batch = [missing.pop(0)]
        while missing and sum(len(texts[at]) for at in [*batch, missing[0]]) <= READ_AT_ONCE:
            batch.append(missing.pop(0))
        blocks = [model.block(1, len(texts[at]), variant) for at in batch]
        yield from _advance(blocks, [texts[at] for at in batch])
        for at, block in zip(batch, blocks, strict=True):
            values[at] = row = block.row(0)
            prefixes.put(texts[at], variant, row)
    return [row for row in values if row is not None]


def _ask(
    block: RowBlock, question: Sequence[int], judged: int
) -> Generator[list[TokenSegment], list[Tensor], tuple[Tensor, Tensor]]:
    """Read the question after the prefix of every row. -> logits [rows, vocab], and log p of the question's last
    `judged` tokens [rows]

    The first token of the question is left out, since its probability is not known.
    """
    ids = torch.tensor([question]).expand(block.rows, -1)
    first, last = max(1, len(question) - judged), len(question)
    step = max(1, READ_AT_ONCE // block.rows)
    logits, likelihood = torch.empty(0), torch.zeros(block.rows)
    for start in range(0, last, step):
        end = min(start + step, last)
        which: WantedLogits = "all" if judged and end >= first else "last" if end == last else "none"
        (logits,) = yield [TokenSegment(block, ids[:, start:end], which)]
        if which == "all":
            foretold = slice(max(first, start + 1), min(end + 1, last))
            before = slice(foretold.start - 1 - start, foretold.stop - 1 - start)
            likelihood += _likelihood(logits[:, before], ids[:, foretold])
            logits = logits[:, -1]
    return logits, likelihood


def _likelihood(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the log-likelihood of `ids`. `logits` has the logits before each token. logits: [rows, n, vocab], ids:
    [rows, n] -> [rows]
    """
    # row by row, since a copy of all logits would be large
    whole = torch.stack([row.logsumexp(-1) for row in logits])
    return (logits.gather(-1, ids[..., None])[..., 0] - whole).sum(-1)


def _advance(blocks: Sequence[RowBlock], texts: Sequence[Sequence[int]]) -> Run:
    """Read several texts in parallel, at most `CHUNK` tokens of each in a step."""
    for start in range(0, max(map(len, texts)), CHUNK):
        yield [
            TokenSegment(block, torch.tensor([text[start : start + CHUNK]]), "none")
            for block, text in zip(blocks, texts, strict=True)
            if start < len(text)
        ]


class _WindowRows:
    """All rows, in blocks of similar length. `numbers` has the row number of each row of `logits`; the first is 0."""

    def __init__(self, model: TorchNetwork, behind: int, variant: Variant) -> None:
        self._model, self._behind, self._variant = model, behind, variant
        self.parts: list[tuple[RowBlock, list[int]]] = []
        self.logits = torch.empty(0)

    @property
    def numbers(self) -> list[int]:
        return [row for _, group in self.parts for row in group]

    def join(self, group: list[int], prefixes: Sequence[Tensor]) -> RowBlock:
        longest = max(prefix.shape[3] for prefix in prefixes)
        block = self._model.block(len(group), longest + self._behind, self._variant)
        block.end = longest
        for place, prefix in enumerate(prefixes):
            block.load(place, prefix)
        self.parts.append((block, group))
        return block

    def drop(self, gone: set[int]) -> None:
        """Remove rows from all further steps."""
        if not gone:
            return
        self.logits = self.logits[[at for at, row in enumerate(self.numbers) if row not in gone]]
        parts = []
        for block, group in self.parts:
            places = [place for place, row in enumerate(group) if row not in gone]
            if places and len(places) < len(group):
                block.select(torch.tensor(places))
            if places:
                parts.append((block, [group[place] for place in places]))
        self.parts = parts
