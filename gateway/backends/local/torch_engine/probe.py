"""Measures how far a model's context reaches: perplexity and pass-keys at growing distances, method by method.

Reading 32,768 tokens takes a small machine half an hour, so that a distance is emulated: the first half of a
shorter text stands at the beginning, the second half's positions jump to the end of the length in
question. That tests positions, not how a model bears so much text.
"""

import math
import random
from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from msgspec import Struct
from torch import Tensor

from gateway.backends.local.profile import LookUp, Measured, Profile
from gateway.backends.local.torch_engine.block import Block
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.model import Model, Segment
from gateway.backends.local.torch_engine.positions import NATIVE, Method, Positions, Variant

CHUNK = 512
WORDS = (
    "lantern", "harbour", "violin", "glacier", "orchard", "compass", "meadow", "anchor",
    "saddle", "mirror", "candle", "falcon", "barrel", "temple", "garden", "feather",
)  # fmt: skip
KINDS = ("red", "old", "tiny", "cold", "loud", "soft", "green", "round")
BEARABLE = 1.25
"""Perplexity may grow by so much."""
WELL = 0.75
"""The share of look-ups among alike sentences that must be right up to the effective window."""
PASSAGE_TOKENS = 120
SHORTEST = 512
ASKED = 8
"""Look-ups at each length."""
METHODS: tuple[Method, ...] = ("native", "linear", "ntk", "yarn", "llama3", "self-extend")
UNASKED: frozenset[str] = frozenset({"native", "linear"})
"""Measured to be shown; never chosen for a length that the model was not trained for."""


class Document(Struct):
    """Text in token numbers with pass-keys in its first half, and the questions about them."""

    first: list[int]
    second: list[int]
    questions: list[tuple[list[int], list[int]]]
    """A key's beginning, and the digits that belong behind it."""


def document(tokens: Tokens, text: str, size: int, keys: int, seed: int = 0) -> Document:
    """About `size` tokens of `text`. Raises `ValueError` where it is too short."""
    dice = random.Random(seed)
    ids = tokens.prompt(text)
    if len(ids) < size:
        raise ValueError(f"the text has {len(ids)} tokens and {size} are needed")
    half = ids[: size // 2]
    facts = [(word, str(dice.randrange(10_000, 100_000))) for word in WORDS[:keys]]
    first: list[int] = []
    for number, (word, digits) in enumerate(facts):
        first += half[number * len(half) // keys : (number + 1) * len(half) // keys]
        first += tokens.prompt(f" The secret number of the {word} is {digits}. ")
    questions = [
        (tokens.prompt(f"\nThe secret number of the {word} is"), tokens.prompt(f" {digits}")) for word, digits in facts
    ]
    return Document(first, ids[size // 2 : size], questions)


def alike(tokens: Tokens, text: str, size: int, seed: int = 0) -> Document:
    """About `size` tokens in passages that each hold a key; another `seed` takes the next piece of the text.

    Raises `ValueError` where the text is too short.
    """
    dice = random.Random(seed)
    names = dice.sample([f"{kind} {word}" for kind in KINDS for word in WORDS], max(1, size // PASSAGE_TOKENS))
    ids = tokens.prompt(text[: (seed + 1) * size * 12])[seed * size :]
    if len(ids) < size:
        raise ValueError(f"the text has {len(ids)} tokens and {size} are needed")
    first: list[int] = []
    questions = []
    for number, name in enumerate(names):
        digits = str(dice.randrange(10_000, 100_000))
        fact = tokens.prompt(f" The secret number of the {name} is {digits}. ")
        start = number * size // len(names)
        first += ids[start : start + size // len(names) - len(fact)] + fact
        questions.append((tokens.prompt(f"\nThe secret number of the {name} is"), tokens.prompt(f" {digits}")))
    return Document(first, [], questions[:: max(1, len(questions) // ASKED)][:ASKED])


@torch.inference_mode()
def look_up(model: Model, reads: Sequence[Document], length: int) -> LookUp:
    """One pass over each text with the model's own positions."""
    found = 0
    for read in reads:
        longest = max(len(before) + len(digits) for before, digits in read.questions)
        block = model.block(1, len(read.first) + longest)
        _advance(model, block, read.first)
        found += sum(_found(model, block, *question) for question in read.questions)
    return LookUp(length, found, sum(len(read.questions) for read in reads))


def look_ups(model: Model, tokens: Tokens, text: str, trained: int) -> Iterator[LookUp]:
    """At 512 tokens and on, doubling, until too little is found, the window or the text ends. Really read."""
    length = SHORTEST
    while length <= min(trained, len(KINDS) * len(WORDS) * PASSAGE_TOKENS):
        try:
            # a short text holds fewer keys than are asked for, so there are more of them
            texts = -(-ASKED * PASSAGE_TOKENS // length)
            one = look_up(model, [alike(tokens, text, length, seed) for seed in range(texts)], length)
        except ValueError:
            return
        yield one
        if not _well(one):
            return
        length *= 2


@torch.inference_mode()
def measure(model: Model, read: Document, length: int, variant: Variant, method: str) -> Measured:
    """One pass over the document as if it were `length` tokens long."""
    total = len(read.first) + len(read.second)
    longest = max(len(before) + len(digits) for before, digits in read.questions)
    block = model.block(1, total + longest, variant)
    _advance(model, block, read.first)
    block.gap = max(0, length - total)
    perplexity = math.exp(_loss(model, block, read.second))
    found = sum(_found(model, block, *question) for question in read.questions)
    return Measured(length, method, variant.factor, round(perplexity, 2), found, len(read.questions))


def sweep(
    model: Model, positions: Positions, read: Document, methods: Sequence[Method] = METHODS
) -> Iterator[Measured]:
    """From the document's own length over the trained window to 2 and 4 times that."""
    trained = positions.trained_tokens
    own = len(read.first) + len(read.second)
    for length in sorted({own, *[size for size in (trained // 2, trained) if size > own]}):
        yield measure(model, read, length, NATIVE, "native")
    for factor in (2.0, 4.0):
        length = int(trained * factor)
        for method in methods:
            variant = positions.of(method, length, factor)
            yield measure(model, read, length, variant, method)


def concluded(trained: int, measured: Sequence[Measured], looked: Sequence[LookUp] = ()) -> Profile:
    """How far the best method at each length, and each method alone, can be used; and how much is read well."""
    base = measured[0]
    winners: dict[int, Measured] = {}
    for one in sorted(measured, key=lambda one: one.length):
        able = one.length <= trained or one.method not in UNASKED
        if able and (one.length not in winners or _worth(one, base) > _worth(winners[one.length], base)):
            winners[one.length] = one
    natively = [one for one in winners.values() if one.length <= trained]
    methods = dict.fromkeys(one.method for one in measured)
    alone = {name: [*natively, *_beyond(measured, name, trained)] for name in methods}
    return Profile(
        _usable(list(winners.values()), base),
        tuple((length / trained, one.method) for length, one in winners.items() if length > trained),
        tuple(measured),
        tuple((name, _usable(rows, base)) for name, rows in alone.items()),
        max((one.length for one in looked if _well(one)), default=SHORTEST if looked else 0),
        tuple(looked),
    )


def _beyond(measured: Sequence[Measured], method: str, trained: int) -> list[Measured]:
    return [one for one in measured if one.method == method and one.length > trained]


def _usable(rows: Sequence[Measured], base: Measured) -> int:
    """The longest length up to which all is well."""
    borne = takewhile(lambda one: _bearable(one, base), sorted(rows, key=lambda one: one.length))
    return max((one.length for one in borne), default=0)


def _well(one: LookUp) -> bool:
    return one.found >= WELL * one.keys


def _worth(one: Measured, base: Measured) -> float:
    """A key found counts as much as perplexity can lose: both are shares."""
    return one.found / max(1, one.keys) - math.log(one.perplexity / base.perplexity)


def _bearable(one: Measured, base: Measured) -> bool:
    return one.perplexity <= BEARABLE * base.perplexity and 2 * one.found >= base.found


def _advance(model: Model, block: Block, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), CHUNK):
        model.forward([Segment(block, torch.tensor([ids[start : start + CHUNK]]), "none")])


def _loss(model: Model, block: Block, ids: Sequence[int]) -> float:
    """Mean negative log-likelihood of all but the first token, which also advances the block."""
    total, last = 0.0, None
    for start in range(0, len(ids), CHUNK):
        part = torch.tensor(ids[start : start + CHUNK])
        (logits,) = model.forward([Segment(block, part[None], "all")])
        before = logits[0, :-1] if last is None else torch.cat((last, logits[0, :-1]))
        wanted: Tensor = part[1:] if last is None else part
        total += float(torch.nn.functional.cross_entropy(before, wanted, reduction="sum"))
        last = logits[0, -1:]
    return total / (len(ids) - 1)


def _found(model: Model, block: Block, before: Sequence[int], digits: Sequence[int]) -> bool:
    """Whether greedy decoding would give all the digits. Leaves the block as it was."""
    end = block.end
    (logits,) = model.forward([Segment(block, torch.tensor([[*before, *digits]]), "all")])
    block.end = end
    said = logits[0].argmax(-1)[len(before) - 1 : -1]
    return said.tolist() == list(digits)
