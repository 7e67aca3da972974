"""Passages beside each other on a model with random weights: what is said, by whom, and in how much memory."""

from collections.abc import Sequence
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ask import Nbce
from gateway.backends.local.torch_engine import windows
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.positions import NATIVE, Positions
from gateway.backends.local.torch_engine.prefixes import Prefixes
from gateway.backends.local.torch_engine.windows import PassageSpan, Windows, WindowsReport
from gateway.wire.engine.pieces import EnginePiece, EngineRequest, SamplingKnobs
from tests.doubles import tiny_llama

MODEL = tiny_llama.model()
POSITIONS = Positions(64, 64)
AMPLE = 1 << 30
PASSAGE = st.lists(st.integers(0, 96), min_size=1, max_size=12)
LONG = st.lists(st.integers(0, 96), min_size=1, max_size=30)
POOLING = st.sampled_from(["min_entropy", "expert", "mean"])
CHOOSING = st.sampled_from(["min_entropy", "expert"])
"""Without `mean`, in which each passage has a vote."""


class Letters:
    """A token a character."""

    ends = frozenset[int]()

    def stream(self) -> "Letters":
        return self

    def add(self, token: int) -> str:
        return chr(0x4E00 + token)


class Said:
    """What came of one request, and the most that its rows and what was read beside them took."""

    def __init__(
        self,
        prefixes: Sequence[Sequence[int]],
        question: Sequence[int],
        mixed: Nbce,
        most_bytes: int = AMPLE,
        stop: tuple[str, ...] = (),
        remembered: Prefixes | None = None,
    ) -> None:
        self.text, self.report, self.steps, self.widest, self.most_rows = "", WindowsReport(), 0, 0, 0
        asked = Windows([list(one) for one in prefixes], list(question), mixed, most_bytes)
        kept = remembered if remembered is not None else Prefixes(0)
        wanted = EngineRequest(SamplingKnobs(temperature=0), 8, stop=stop)
        run = windows.answer(MODEL, cast(Tokens, Letters()), POSITIONS, kept, wanted, asked, self._say, self._tell)
        segments = next(run)
        while True:
            self.steps += 1
            self.widest = max(self.widest, sum(one.ids.numel() for one in segments))
            self.most_rows = max(self.most_rows, *(one.block.rows for one in segments))
            try:
                segments = run.send(MODEL.forward(segments))
            except StopIteration:
                return

    def _say(self, piece: EnginePiece) -> bool:
        self.text += piece.text
        return False

    def _tell(self, report: WindowsReport) -> None:
        self.report = report


@settings(max_examples=25)
@given(passages=st.lists(PASSAGE, min_size=2, max_size=6, unique_by=tuple), pooling=CHOOSING, question=PASSAGE)
def test_one_passage_twice_is_that_passage_once(passages: list[list[int]], pooling: str, question: list[int]) -> None:
    once = Said([[0], *passages], question, Nbce(pooling=pooling, eta=0))
    twice = Said([[0], *passages, *passages], question, Nbce(pooling=pooling, eta=0))
    assert twice.text == once.text


@settings(max_examples=25)
@given(passages=st.lists(PASSAGE, min_size=2, max_size=6), pooling=POOLING, question=PASSAGE)
def test_the_size_of_the_groups_changes_nothing(passages: list[list[int]], pooling: str, question: list[int]) -> None:
    """Rows of one and of all lengths in a block; room for five rows at the least is always there."""
    rows = [[0], *passages[:4]]
    longest = max(map(len, rows)) + len(question) + 8
    little = 5 * MODEL.shape.bytes_of(longest)
    assert Said(rows, question, Nbce(pooling=pooling), little).text == Said(rows, question, Nbce(pooling=pooling)).text


def test_without_a_prior_one_passage_is_a_plain_prompt() -> None:
    passage, question = [5, 9, 33, 2], [7, 8]
    ids = [*passage, *question]
    for _ in range(8):
        block = MODEL.block(1, len(ids))
        ids.append(int(MODEL.forward([_segment(block, ids)])[0][0].argmax()))
    expected = "".join(map(Letters().add, ids[-8:]))
    for pooling in ("min_entropy", "expert"):
        assert Said([[0], passage], question, Nbce(pooling=pooling, beta=0)).text == expected


def _segment(block: windows.RowBlock, ids: list[int]) -> windows.TokenSegment:
    return windows.TokenSegment(block, torch.tensor([ids]))


def test_long_rows_are_read_in_small_groups_and_what_is_over_is_left_out() -> None:
    passages = [[number % 97] * 40 for number in range(20)]
    each = MODEL.shape.bytes_of(40 + 2 + 8)
    ample, tight = (Said([[0], *passages], [3, 4], Nbce(pooling="min_entropy"), bytes_) for bytes_ in (AMPLE, 8 * each))
    assert ample.most_rows == 21
    assert tight.most_rows <= 8
    assert tight.report.dropped >= 21 - 8
    assert tight.report.rows == 20


def test_a_long_question_is_read_in_pieces() -> None:
    passages = [[number % 97] * 3 for number in range(20)]
    question = [number % 97 for number in range(45)]
    whole = Said([[0], *passages], question, Nbce(pooling="min_entropy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "READ_AT_ONCE", 64)
        pieces = Said([[0], *passages], question, Nbce(pooling="min_entropy"))
    assert (pieces.text, pieces.report) == (whole.text, whole.report)
    assert whole.widest > 900
    assert pieces.widest <= 64


@settings(max_examples=25)
@given(question=LONG, judged=st.integers(1, 40), at_once=st.integers(2, 40))
def test_the_likelihood_of_a_question_is_that_of_its_last_tokens(
    question: list[int], judged: int, at_once: int
) -> None:
    passages = [[5, 6, 7], [8, 9, 10]]
    block = MODEL.block(2, 3 + len(question))
    MODEL.forward([windows.TokenSegment(block, torch.tensor(passages), "none")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "READ_AT_ONCE", at_once)
        run = windows._ask(block, question, judged)
        segments = next(run)
        try:
            while True:
                segments = run.send(MODEL.forward(segments))
        except StopIteration as stop:
            logits, likelihood = stop.value
    whole = MODEL.block(2, 3 + len(question))
    (all_,) = MODEL.forward([windows.TokenSegment(whole, torch.tensor([[*one, *question] for one in passages]), "all")])
    lp = all_[:, 3:].log_softmax(-1)
    first = max(1, len(question) - judged)
    expected = [sum(float(row[at - 1, question[at]]) for at in range(first, len(question))) for row in lp]
    torch.testing.assert_close(likelihood, torch.tensor(expected, dtype=torch.float32), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(logits, all_[:, -1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("pooling", ["min_entropy", "expert"])
def test_between_two_sure_passages_the_one_that_explains_the_question_speaks(pooling: str) -> None:
    """Row 1 is the surer one of its token, row 2 makes the question likelier."""
    logits = torch.tensor([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 4.8, 0.0]])
    for alpha, likelihood, speaker in ((0.25, [-9.0, -30.0, -26.0], 2), (0.25, [-9.0, -9.0, -9.0], 1), (0.0, [], 1)):
        mixer = windows.Mixer(Nbce(pooling=pooling, alpha=alpha))
        assert mixer.asks_for_likelihood == (alpha > 0)
        if likelihood:
            mixer.explain([0, 1, 2], torch.tensor(likelihood))
        token = int(mixer.mix(logits, [0, 1, 2]).argmax())
        assert (token, mixer.spoke(token)) == (speaker - 1, speaker)


def test_the_textbooks_mean_needs_no_likelihood() -> None:
    assert not windows.Mixer(Nbce(pooling="mean")).asks_for_likelihood


def test_what_is_remembered_is_held_once() -> None:
    remembered = Prefixes(AMPLE)
    passages = [[1, 2, 3], [4, 5, 6, 7]]
    first = Said([[0], *passages], [9], Nbce(pooling="min_entropy"), remembered=remembered)
    again = Said([[0], *passages], [9], Nbce(pooling="min_entropy"), remembered=remembered)
    assert (first.report.remembered, again.report.remembered) == (0, 3)
    assert again.text == first.text
    assert again.steps < first.steps
    assert len(remembered) == 3
    assert remembered.get(passages[0], NATIVE) is not None


def test_the_spans_end_where_a_stop_text_cuts_the_answer() -> None:
    rows = [[0], [5, 6, 7], [8, 9, 10]]
    whole = Said(rows, [11], Nbce(pooling="min_entropy"))
    assert _covered(whole.report.spans) == len(whole.text) == 8
    cut = Said(rows, [11], Nbce(pooling="min_entropy"), stop=(whole.text[5:7],))
    assert whole.text.startswith(cut.text)
    assert _covered(cut.report.spans) == len(cut.text) < 8


def _covered(spans: Sequence[PassageSpan]) -> int:
    """How many characters, without a gap."""
    ends = [0, *[span.end for span in spans]]
    assert [span.start for span in spans] == ends[:-1]
    assert all(span.start < span.end for span in spans)
    return ends[-1]
