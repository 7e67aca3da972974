"""What is concluded from measurements, and that measuring leaves nothing behind."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import torch

from gateway.backends.local import profile
from gateway.backends.local.profile import LengthProfile, LookUp, Profile
from gateway.backends.local.torch_engine import probe
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.model import TokenSegment
from gateway.backends.local.torch_engine.positions import NATIVE, Positions, Variant
from tests.doubles import tiny_llama

L = 8192


def row(length: int, method: str, perplexity: float, found: int) -> LengthProfile:
    return LengthProfile(length, method, 2.0, perplexity, found, 8)


NATIVELY = (row(2000, "native", 30, 6), row(L, "native", 33, 5))


def test_the_window_is_the_longest_length_that_some_method_bears() -> None:
    twice = (row(2 * L, "native", 132, 0), row(2 * L, "yarn", 35, 5), row(2 * L, "ntk", 34, 4))
    fourfold = (row(4 * L, "native", 1920, 0), row(4 * L, "yarn", 50, 5), row(4 * L, "llama3", 42, 4))
    found = probe.concluded(L, (*NATIVELY, *twice, *fourfold))
    assert (found.window_tokens, found.best) == (2 * L, ((2.0, "yarn"), (4.0, "llama3")))


def test_a_model_that_forgets_inside_its_window_gets_less_of_it() -> None:
    assert probe.concluded(L, (row(2000, "native", 30, 6), row(L, "native", 33, 2))).window_tokens == 2000


def test_each_method_has_a_reach_of_its_own_and_the_models_own_positions_end_first() -> None:
    twice = (row(2 * L, "native", 132, 0), row(2 * L, "yarn", 35, 5), row(2 * L, "ntk", 80, 4))
    fourfold = (row(4 * L, "native", 1920, 0), row(4 * L, "yarn", 36, 5), row(4 * L, "ntk", 31, 8))
    found = probe.concluded(L, (*NATIVELY, *twice, *fourfold))
    assert dict(found.reach) == {"native": L, "yarn": 4 * L, "ntk": L}
    assert [found.usable(method) for method in ("auto", "ntk", "longrope")] == [4 * L, L, 4 * L]


def test_the_effective_window_ends_where_look_ups_begin_to_fail() -> None:
    looked = (LookUp(512, 8, 8), LookUp(1024, 6, 8), LookUp(2048, 5, 8))
    assert probe.concluded(L, NATIVELY, looked).well_tokens == 1024
    assert probe.concluded(L, NATIVELY, (LookUp(512, 1, 8),)).well_tokens == 512
    assert probe.concluded(L, NATIVELY).well_tokens == 0


class Letters:
    """A tokenizer of one token a character."""

    def prompt(self, text: str) -> list[int]:
        return [ord(letter) % 97 for letter in text]


def test_look_ups_double_until_too_little_is_found() -> None:
    model = tiny_llama.model()
    tokens = cast(Tokens, Letters())
    read = probe.alike(tokens, "some words " * 200, 1024)
    assert (len(read.ids), len(read.questions)) == (1024, 8)
    # random weights find nothing, so the first length is the last
    looked = list(probe.look_ups(model, tokens, "some words " * 200, 4096))
    assert [(one.length, one.keys) for one in looked] == [(512, 8)]
    assert list(probe.look_ups(model, tokens, "too short", 4096)) == []


def test_linear_and_native_positions_are_never_the_best_beyond_the_window() -> None:
    twice = (row(2 * L, "linear", 30, 8), row(2 * L, "native", 30, 8), row(2 * L, "yarn", 36, 5))
    assert probe.concluded(L, (*NATIVELY, *twice)).best == ((2.0, "yarn"),)


IDS = [number % 97 for number in range(60)]
KEYS = [probe.PassKey([3, 1], [4], ([1, 2], [3])), probe.PassKey([5, 9], [2, 6], ([5], [3, 5]))]


def test_a_distance_is_really_one() -> None:
    """Far behind the trained window untouched positions are others than near ones; the same document, the same keys."""
    model = tiny_llama.model()
    read = probe.ProbeDocument(IDS[:30], IDS[30:], KEYS)
    near, far = (probe.measure(model, read, length, NATIVE, "native") for length in (60, 6000))
    assert near.perplexity != far.perplexity
    assert probe.measure(model, read, 60, NATIVE, "native") == near
    assert probe.measure(model, read, 6000, Variant("linear", 2.0), "linear").perplexity != far.perplexity


def test_each_key_stands_alone_at_a_depth_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama.model()
    forward, seen = model.forward, []

    def watched(segments: Sequence[TokenSegment]) -> list[torch.Tensor]:
        seen.extend((one.block.end + one.block.gap, one.ids[0].tolist()) for one in segments)
        return forward(segments)

    monkeypatch.setattr(model, "forward", watched)
    probe.measure(model, probe.ProbeDocument([7, 7, 7, 7], [8, 8, 8, 8], KEYS), 1000, NATIVE, "native")
    first_key = [(251, [3, 1]), (996, [4]), (997, [1, 2, 3])]
    second_key = [(745, [5, 9]), (995, [2, 6]), (997, [5, 3, 5])]
    assert seen == [(0, [7, 7, 7, 7]), *first_key, *second_key, (996, [8, 8, 8, 8])]


def test_a_key_is_found_where_the_model_would_say_all_its_digits() -> None:
    model = tiny_llama.model()
    block = model.block(1, 20)
    probe.advance(model, block, IDS[:8])
    said: list[int] = []
    for _ in range(3):
        (logits,) = model.forward([TokenSegment(block, torch.tensor([[IDS[8], *said]]))])
        said.append(int(logits[0].argmax()))
        block.end = 8
    assert probe.is_found(model, block, ([IDS[8]], said))
    assert not probe.is_found(model, block, ([IDS[8]], [*said[:2], (said[2] + 1) % 97]))
    assert block.end == 8


def test_no_two_pass_keys_are_of_the_same_thing() -> None:
    tokens = cast(Tokens, Letters())
    read = probe.document(tokens, "some words " * 200, 512, 16)
    assert (len(read.first), len(read.second), len(read.keys)) == (256, 256, 16)
    assert len({tuple(key.question[0]) for key in read.keys}) == 16
    with pytest.raises(ValueError, match="are needed"):
        probe.document(tokens, "too short", 512, 16)


def test_perplexity_is_that_of_the_second_half() -> None:
    model = tiny_llama.model()
    ids = [number % 97 for number in range(1300)]
    measured = probe.measure(model, probe.ProbeDocument(ids[:10], ids[10:], []), 1300, NATIVE, "native")
    block = model.block(1, 1300)
    (logits,) = model.forward([probe.TokenSegment(block, torch.tensor([ids]), "all")])
    loss = torch.nn.functional.cross_entropy(logits[0, 10:-1], torch.tensor(ids[11:]))
    assert abs(measured.perplexity / float(loss.exp()) - 1) < 1e-3


def test_a_profile_is_kept_and_a_broken_one_is_none(tmp_path: Path) -> None:
    kept = Profile(16384, ((2.0, "yarn"),), NATIVELY)
    path = profile.write(tmp_path, "torch", kept)
    assert profile.read(tmp_path, "torch") == kept
    path.write_text("{")
    assert profile.read(tmp_path, "torch") == profile.read(tmp_path, "other") == Profile()


def test_all_lengths_and_methods_are_measured_once() -> None:
    model = tiny_llama.model()
    read = probe.ProbeDocument(list(range(8)), list(range(8)), KEYS)
    rows = [(one.length, one.method) for one in probe.sweep(model, Positions(64, 64), read)]
    assert rows == [(16, "native"), (32, "native"), (64, "native")] + [
        (length, method) for length in (128, 256) for method in probe.METHODS
    ]
