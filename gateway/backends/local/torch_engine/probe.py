"""Measures how far a model's context reaches with each method, by perplexity and pass-keys at growing distances.

Reading 32,768 tokens takes half an hour on a small machine, so distances are simulated. A shorter text is read. Its
first half is at the beginning, and the positions of its second half are moved to the end of the tested length. A
pass-key with some text around it is inserted between the halves. The simulation tests positions, but not the effect of
a long text.
"""

import math
import random
from collections.abc import Iterator, Sequence
from itertools import takewhile

import torch
from msgspec import Struct
from torch import Tensor

from gateway.backends.local.profile import LengthProfile, LookUp, Profile
from gateway.backends.local.torch_engine.block import RowBlock
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.model import TokenSegment, TorchNetwork
from gateway.backends.local.torch_engine.positions import NATIVE, Method, Positions, Variant

CHUNK = 512
WORDS = (
    "lantern", "harbour", "violin", "glacier", "orchard", "compass", "meadow", "anchor",
    "saddle", "mirror", "candle", "falcon", "barrel", "temple", "garden", "feather",
)  # fmt: skip
SUBJECTS = (
    "pass key", "code of the garden door", "telephone number of the doctor", "serial number of the engine",
    "number of the lottery ticket", "population of the village", "price of the violin",
    "weight of the anchor in pounds", "catalogue number of the painting", "number of soldiers in the castle",
    "postal code of the harbour", "account of the merchant at the bank", "number of stars on the map",
    "length of the bridge in inches", "number of books in the library", "secret number",
)  # fmt: skip
"""The subjects of the pass-keys. They differ widely, since a model could confuse similar subjects, which would hide the
effect of positions.
"""
AROUND = 32
"""The number of tokens of text before a pass-key, and also after it."""
KINDS = ("red", "old", "tiny", "cold", "loud", "soft", "green", "round")
BEARABLE = 1.25
"""The perplexity may grow by at most this factor within the usable window."""
WELL = 0.75
"""A length is within the effective window if the model finds at least this share of facts among similar sentences."""
PASSAGE_TOKENS = 120
SHORTEST = 512
LOOK_UPS = 8
"""The number of facts that the model is asked for at each length."""
METHODS: tuple[Method, ...] = ("native", "linear", "ntk", "yarn", "llama3", "llama3-wide", "self-extend")
NEVER_CHOSEN: frozenset[str] = frozenset({"native", "linear"})
"""Methods that are measured for display only, and never chosen."""


Question = tuple[list[int], list[int]]
"""Two lists of tokens: the beginning of a sentence about a number, and the digits that complete the sentence."""


class PassKey(Struct):
    """Tokens of three texts: a sentence that states a number, the text after it, and a question about the number."""

    statement: list[int]
    behind: list[int]
    question: Question

    def __len__(self) -> int:
        return len(self.statement) + len(self.behind) + sum(map(len, self.question))


class ProbeDocument(Struct):
    """A text as token numbers, and the pass-keys that are inserted between its halves, one at a time."""

    first: list[int]
    second: list[int]
    keys: list[PassKey]


class ProbeText(Struct):
    """A text that is read without a simulated distance, and the questions about it."""

    ids: list[int]
    questions: list[Question]


def pass_keys(tokens: Tokens, count: int, seed: int = 0) -> list[tuple[list[int], Question]]:
    """Return pairs of a sentence that states a number, and the question about that number."""
    dice = random.Random(seed)
    made = []
    for subject in SUBJECTS[:count]:
        digits = dice.randrange(10_000, 100_000)
        question = tokens.prompt(f"\n\nThe {subject} is"), tokens.prompt(f" {digits}")
        made.append((tokens.prompt(f" The {subject} is {digits}. "), question))
    return made


def document(tokens: Tokens, text: str, size: int, keys: int, seed: int = 0) -> ProbeDocument:
    """Make a document from the first `size` tokens of `text`. The rest of `text` surrounds the keys. Raises
    `ValueError` if the text is too short.
    """
    ids = tokens.prompt(text)
    needed = size + keys * 2 * AROUND
    if len(ids) < needed:
        raise ValueError(f"the text has {len(ids)} tokens and {needed} are needed")
    hidden = []
    for number, (statement, question) in enumerate(pass_keys(tokens, keys, seed)):
        around = ids[size + number * 2 * AROUND :][: 2 * AROUND]
        hidden.append(PassKey(around[:AROUND] + statement, around[AROUND:], question))
    return ProbeDocument(ids[: size // 2], ids[size // 2 : size], hidden)


def alike(tokens: Tokens, text: str, size: int, seed: int = 0) -> ProbeText:
    """Make a text of about `size` tokens. It consists of passages that contain one key each. Each `seed` uses another
    part of `text`.

    Raises `ValueError` if `text` is too short.
    """
    dice = random.Random(seed)
    names = dice.sample([f"{kind} {word}" for kind in KINDS for word in WORDS], max(1, size // PASSAGE_TOKENS))
    ids = tokens.prompt(text[: (seed + 1) * size * 12])[seed * size :]
    if len(ids) < size:
        raise ValueError(f"the text has {len(ids)} tokens and {size} are needed")
    passages: list[int] = []
    questions = []
    for number, name in enumerate(names):
        digits = str(dice.randrange(10_000, 100_000))
        fact = tokens.prompt(f" The secret number of the {name} is {digits}. ")
        start = number * size // len(names)
        passages += ids[start : start + size // len(names) - len(fact)] + fact
        questions.append((tokens.prompt(f"\nThe secret number of the {name} is"), tokens.prompt(f" {digits}")))
    return ProbeText(passages, questions[:: max(1, len(questions) // LOOK_UPS)][:LOOK_UPS])


@torch.inference_mode()
def look_up(model: TorchNetwork, reads: Sequence[ProbeText], length: int) -> LookUp:
    """Count the facts that the model finds in texts of `length` tokens, with the model's own positions. Each text is
    read once.
    """
    right = 0
    for read in reads:
        block = model.block(1, len(read.ids) + max(len(before) + len(digits) for before, digits in read.questions))
        advance(model, block, read.ids)
        right += sum(is_found(model, block, question) for question in read.questions)
    return LookUp(length, right, sum(len(read.questions) for read in reads))


def look_ups(model: TorchNetwork, tokens: Tokens, text: str, trained: int) -> Iterator[LookUp]:
    """Yield how many facts the model finds in texts of 512, 1024, ... tokens.

    Stops after a length at which the model finds too few, or when the window or the text is too short for the next
    length.
    """
    length = SHORTEST
    while length <= min(trained, len(KINDS) * len(WORDS) * PASSAGE_TOKENS):
        try:
            # a short text has fewer keys than needed, so several are read
            texts = -(-LOOK_UPS * PASSAGE_TOKENS // length)
            result = look_up(model, [alike(tokens, text, length, seed) for seed in range(texts)], length)
        except ValueError:
            return
        yield result
        if not _well(result):
            return
        length *= 2


@torch.inference_mode()
def measure(model: TorchNetwork, read: ProbeDocument, length: int, variant: Variant, method: str) -> LengthProfile:
    """Measure a simulated length of `length` tokens. Keys are read at evenly spaced depths, then the second half is
    read.
    """
    begin = len(read.first)
    longest = max([len(read.second), *map(len, read.keys)])
    block = model.block(1, begin + longest, variant)
    advance(model, block, read.first)
    right = 0
    for number, key in enumerate(read.keys):
        left_out = max(0, length - begin - len(key))
        block.end, block.gap = begin, left_out * (2 * number + 1) // (2 * len(read.keys))
        advance(model, block, key.statement)
        block.gap = left_out
        advance(model, block, key.behind)
        right += is_found(model, block, key.question)
    block.end, block.gap = begin, max(0, length - begin - len(read.second))
    perplexity = math.exp(loss(model, block, read.second))
    return LengthProfile(length, method, variant.factor, round(perplexity, 2), right, len(read.keys))


def sweep(
    model: TorchNetwork, positions: Positions, read: ProbeDocument, methods: Sequence[Method] = METHODS
) -> Iterator[LengthProfile]:
    """Measure the model's own positions at the document's length, at half the trained window, and at the whole window.
    Then measure each method at 2 and 4 times the window.
    """
    trained = positions.trained_tokens
    own = len(read.first) + len(read.second)
    for length in sorted({own, *[size for size in (trained // 2, trained) if size > own]}):
        yield measure(model, read, length, NATIVE, "native")
    for factor in (2.0, 4.0):
        length = int(trained * factor)
        for method in methods:
            variant = positions.of(method, length, factor)
            yield measure(model, read, length, variant, method)


def concluded(trained: int, measured: Sequence[LengthProfile], looked: Sequence[LookUp] = ()) -> Profile:
    """Return the profile that follows from the measurements: the best method for each length, the usable lengths, and
    the effective window.
    """
    base = measured[0]
    winners: dict[int, LengthProfile] = {}
    for profile in sorted(measured, key=lambda profile: profile.length):
        able = profile.length <= trained or profile.method not in NEVER_CHOSEN
        if able and (profile.length not in winners or _worth(profile, base) > _worth(winners[profile.length], base)):
            winners[profile.length] = profile
    natively = [profile for profile in winners.values() if profile.length <= trained]
    methods = dict.fromkeys(profile.method for profile in measured)
    alone = {name: [*natively, *_beyond(measured, name, trained)] for name in methods}
    return Profile(
        _usable(list(winners.values()), base),
        tuple((length / trained, profile.method) for length, profile in winners.items() if length > trained),
        tuple(measured),
        tuple((name, _usable(rows, base)) for name, rows in alone.items()),
        max((profile.length for profile in looked if _well(profile)), default=SHORTEST if looked else 0),
        tuple(looked),
    )


def _beyond(measured: Sequence[LengthProfile], method: str, trained: int) -> list[LengthProfile]:
    return [profile for profile in measured if profile.method == method and profile.length > trained]


def _usable(rows: Sequence[LengthProfile], base: LengthProfile) -> int:
    """Return the longest length in tokens up to which all results are acceptable, or 0 if there is no such length."""
    borne = takewhile(lambda profile: _bearable(profile, base), sorted(rows, key=lambda profile: profile.length))
    return max((profile.length for profile in borne), default=0)


def _well(result: LookUp) -> bool:
    return result.right >= WELL * result.keys


def _worth(profile: LengthProfile, base: LengthProfile) -> float:
    """Return the score of a method: the share of pass-keys that were found, minus the logarithm of the perplexity's
    growth.
    """
    return profile.right / max(1, profile.keys) - math.log(profile.perplexity / base.perplexity)


def _bearable(profile: LengthProfile, base: LengthProfile) -> bool:
    return profile.perplexity <= BEARABLE * base.perplexity and 2 * profile.right >= base.right


def advance(model: TorchNetwork, block: RowBlock, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), CHUNK):
        model.forward([TokenSegment(block, torch.tensor([ids[start : start + CHUNK]]), "none")])


def loss(model: TorchNetwork, block: RowBlock, ids: Sequence[int]) -> float:
    """Return the mean negative log-likelihood of all tokens but the first, in nats. This also advances the block."""
    total, last = 0.0, None
    for start in range(0, len(ids), CHUNK):
        part = torch.tensor(ids[start : start + CHUNK])
        (logits,) = model.forward([TokenSegment(block, part[None], "all")])
        before = logits[0, :-1] if last is None else torch.cat((last, logits[0, :-1]))
        targets: Tensor = part[1:] if last is None else part
        total += float(torch.nn.functional.cross_entropy(before, targets, reduction="sum"))
        last = logits[0, -1:]
    return total / (len(ids) - 1)


def is_found(model: TorchNetwork, block: RowBlock, question: Question) -> bool:
    """Return whether greedy decoding gives all the digits. Afterwards the block's end is where it was before."""
    before, digits = question
    end = block.end
    (logits,) = model.forward([TokenSegment(block, torch.tensor([[*before, *digits]]), "all")])
    block.end = end
    predicted = logits[0].argmax(-1)[len(before) - 1 : -1]
    return predicted.tolist() == list(digits)
