"""The gain table: what it takes to act on it, and how it comes from the file."""

from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.policy.gains import Gain, GainTable, read_gains, write_gains


class Clock:
    """Ten seconds later at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


def gain(pairs: int, mean: float, low: float, high: float, model: str = "small") -> Gain:
    return Gain("refund", model, pairs, mean, low, high)


def known(table: GainTable) -> bool:
    return table.of("refund", "small") is not None


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (gain(180, -0.02, -0.06, 0.02), "leave it"),
        (gain(180, 0.02, -0.02, 0.06), "leave it"),
        (gain(30, -0.4, -0.6, -0.2), "leave it"),
        (gain(40, 0.02, -0.2, 0.24), "unknown"),
        (gain(29, -0.4, -0.6, -0.2), "unknown"),
        (gain(40, 0.2, 0.05, 0.35), "helps"),
        (gain(20, 0.5, 0.4, 0.6), "unknown"),
    ],
)
def test_only_what_was_measured_well_enough_decides(measured: Gain, verdict: str) -> None:
    assert measured.verdict == verdict


def test_a_gain_is_known_for_the_intent_and_the_model_it_was_measured_with(tmp_path: Path) -> None:
    measured = gain(180, -0.02, -0.06, 0.02)
    write_gains(tmp_path / "gains.json", [measured])
    table = GainTable(tmp_path / "gains.json")

    assert table.of("refund", "small") == measured
    assert table.of("refund", "large") is None
    assert table.of("summarise", "small") is None


def test_a_new_measurement_replaces_the_old_one_and_is_seen_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    table = GainTable(file, Clock())
    assert not known(table)

    write_gains(file, [gain(180, -0.02, -0.06, 0.02), gain(90, 0.3, 0.2, 0.4, "large")])
    assert known(table)

    write_gains(file, [gain(180, 0.2, 0.1, 0.3)])
    assert table.of("refund", "small") == gain(180, 0.2, 0.1, 0.3)
    assert set(read_gains(file)) == {("refund", "small"), ("refund", "large")}


@pytest.mark.parametrize("broken", [b"", b"{", b'{"gains": [{"intent": 1}]}', b'{"schema": 2, "gains": []}', b"\xff"])
def test_a_broken_file_leaves_what_was_known(tmp_path: Path, broken: bytes) -> None:
    file = tmp_path / "gains.json"
    write_gains(file, [gain(180, -0.02, -0.06, 0.02)])
    table = GainTable(file, Clock())
    assert known(table)

    file.write_bytes(broken)

    assert known(table)


def test_a_deleted_file_is_an_empty_table(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    write_gains(file, [gain(180, -0.02, -0.06, 0.02)])
    table = GainTable(file, Clock())
    assert known(table)

    file.unlink()

    assert not known(table)


def test_between_two_looks_the_file_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    write_gains(file, [gain(180, -0.02, -0.06, 0.02)])
    table = GainTable(file, clock=lambda: 5.0)
    assert known(table)

    file.unlink()

    assert known(table)


@given(st.integers(0, 500), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_what_helps_has_a_lower_bound_above_nothing(pairs: int, mean: float, below: float, above: float) -> None:
    measured = gain(pairs, mean, mean - below, mean + above)

    assert (measured.verdict == "helps") <= (measured.low > 0)
    assert (measured.verdict == "leave it") <= (measured.low <= 0)


def _write_many(file: Path, model: str) -> None:
    for number in range(20):
        write_gains(file, [Gain(f"intent-{number}", model, 40, 0.1, 0.05, 0.15)])


def test_two_processes_that_measure_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    both = [get_context("spawn").Process(target=_write_many, args=(file, model)) for model in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert len(read_gains(file)) == 40
