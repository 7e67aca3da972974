"""Which positions a request gets, and which never."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.local.torch_engine.positions import NATIVE, Positions, Variant

L = 8192


@given(length=st.integers(1, L), method=st.sampled_from(["auto", "yarn", "self-extend", "linear", "dynamic"]))
def test_what_fits_runs_natively(length: int, method: str) -> None:
    assert Positions(L, 4 * L, method).variant(length) == NATIVE  # type: ignore[arg-type]


@given(length=st.integers(L + 1, 4 * L), longrope=st.booleans())
def test_linear_is_never_chosen_unasked(length: int, longrope: bool) -> None:
    assert Positions(L, 4 * L, has_longrope=longrope).variant(length).method not in ("native", "linear")


def test_the_automatic_choice_follows_the_length_and_what_was_measured() -> None:
    unmeasured = Positions(L, 4 * L)
    assert [unmeasured.variant(n) for n in (9000, 2 * L, 3 * L)] == [
        Variant("yarn", 2.0),
        Variant("yarn", 2.0),
        Variant("llama3", 4.0),
    ]
    measured = Positions(L, 4 * L, best=((2.0, "llama3"), (4.0, "yarn")))
    assert [measured.variant(n).method for n in (9000, 3 * L)] == ["llama3", "yarn"]


def test_the_wide_method_stretches_twice_as_far_as_the_length_asks_for() -> None:
    measured = Positions(L, 4 * L, best=((2.0, "llama3-wide"), (4.0, "llama3-wide")))
    assert [measured.variant(n) for n in (L, 9000, 3 * L)] == [NATIVE, Variant("llama3", 4.0), Variant("llama3", 8.0)]


def test_dynamic_is_frozen_at_the_length_that_the_request_may_reach() -> None:
    assert Positions(L, 4 * L, "dynamic").variant(2 * L) == Variant("ntk", 3.0)


@given(length=st.integers(L + 1, 8 * L))
def test_self_extend_keeps_all_distances_within_what_was_trained(length: int) -> None:
    positions = Positions(L, 8 * L, "self-extend")
    group = positions.variant(length).factor
    assert positions.near_tokens + (length - positions.near_tokens) / group <= 0.61 * L


@given(length=st.integers(1, 2 * L), judged=st.integers(L + 1, 2 * L))
def test_what_was_judged_to_be_long_is_turned_alike_however_long_it_turns_out(length: int, judged: int) -> None:
    frozen = Positions(L, 4 * L, set_for_tokens=judged)
    assert frozen.variant(min(length, judged)) == Positions(L, 4 * L).variant(judged)
