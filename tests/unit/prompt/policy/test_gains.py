"""The gain table: what it takes to act on it, and how it comes from the file."""

from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.library.library import load_library
from gateway.prompt.policy.gains import (
    Gain,
    GainTable,
    OldGainTable,
    corrected,
    key_of,
    read_gains,
    shipped_gains,
    t_quantile,
    write_gains,
)


class Clock:
    """Ten seconds later at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 10.0
        return self.now


def gain(pairs: int, mean: float, low: float, high: float, p: float = 0.0001) -> Gain:
    return Gain("text", "en", "small", pairs, mean, low, high, p)


def row(mean: float = 0.2, spread: float = 0.4, pairs: int = 90, model: str = "small", text: str = "text") -> Gain:
    """A measurement before it enters a table."""
    return Gain(text, "en", model, pairs, mean, -1.0, 1.0, p=0.0001, spread=spread)


def known(table: GainTable) -> bool:
    return table.of("text", "en", "small") is not None


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (gain(180, -0.02, -0.06, 0.02), "leave it"),
        (gain(180, 0.02, -0.02, 0.06), "leave it"),
        (gain(30, -0.4, -0.6, -0.2), "leave it"),
        (gain(40, 0.02, -0.2, 0.24), "unknown"),
        (gain(19, -0.4, -0.6, -0.2), "unknown"),
        (gain(40, 0.2, 0.05, 0.35), "helps"),
        (gain(40, 0.2, 0.05, 0.35, p=0.06), "unknown"),
        (gain(19, 0.5, 0.4, 0.6), "unknown"),
    ],
)
def test_only_what_was_measured_well_enough_decides(measured: Gain, verdict: str) -> None:
    assert measured.verdict == verdict


def test_a_gain_is_known_for_the_text_the_language_and_the_model_it_was_measured_with(tmp_path: Path) -> None:
    write_gains(tmp_path / "gains.json", [row()])
    table = GainTable(tmp_path / "gains.json")

    assert known(table)
    assert table.of("text", "en", "large") is None
    assert table.of("text", "zh", "small") is None
    assert table.of("another text", "en", "small") is None


def test_a_new_measurement_replaces_the_old_one_and_is_seen_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    table = GainTable(file, Clock())
    assert not known(table)

    write_gains(file, [row(-0.02), row(0.3, model="large")])
    assert known(table)

    write_gains(file, [row(0.2)])
    measured = table.of("text", "en", "small")
    assert measured is not None
    assert measured.gain == 0.2
    assert set(read_gains(file)) == {("text", "en", "small"), ("text", "en", "large")}


def test_every_further_row_widens_the_intervals_of_all(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    alone = write_gains(file, [row(0.1, 0.42)])["text", "en", "small"]
    assert (alone.verdict, alone.rows) == ("helps", 1)

    among = write_gains(file, [row(text=f"other {number}") for number in range(19)])["text", "en", "small"]

    assert (among.verdict, among.rows) == ("unknown", 20)
    assert among.low < alone.low < among.gain < alone.high < among.high


@pytest.mark.parametrize("share", [0.975, 0.995, 0.9995])
@pytest.mark.parametrize("freedom", [19, 40, 200])
def test_the_quantile_of_t_is_that_of_scipy(share: float, freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")

    assert t_quantile(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), rel=0.001)


def test_a_table_of_intents_is_refused_with_what_to_do_and_set_aside_by_the_next_measurement(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    old = b'{"gains": [{"intent": "refund", "model": "small"}], "schema": 1}'
    file.write_bytes(old)

    with pytest.raises(OldGainTable, match="foreword gains measure"):
        read_gains(file)
    assert not known(GainTable(file))

    write_gains(file, [row()])
    assert known(GainTable(file))
    assert (tmp_path / "gains.json.schema-1").read_bytes() == old


def test_a_row_of_the_package_counts_where_the_data_folder_has_none(tmp_path: Path) -> None:
    shipped = {key_of(one): one for one in (row(0.5), row(0.4, text="other"))}
    table = GainTable(tmp_path / "gains.json", Clock(), shipped)
    assert known(table)

    write_gains(tmp_path / "gains.json", [row(-0.3)])

    gains = [table.of(text, "en", "small") for text in ("text", "other")]
    assert [one.gain for one in gains if one] == [-0.3, 0.4]


def test_the_table_of_the_package_can_be_read() -> None:
    assert all(gain.verdict == "helps" for gain in shipped_gains().values())


@pytest.mark.parametrize("broken", [b"", b"{", b'{"gains": [{"intent": 1}]}', b'{"schema": 3, "gains": []}', b"\xff"])
def test_a_broken_file_leaves_what_was_known(tmp_path: Path, broken: bytes) -> None:
    file = tmp_path / "gains.json"
    write_gains(file, [row()])
    table = GainTable(file, Clock())
    assert known(table)

    file.write_bytes(broken)

    assert known(table)


def test_a_deleted_file_is_an_empty_table(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    write_gains(file, [row()])
    table = GainTable(file, Clock())
    assert known(table)

    file.unlink()

    assert not known(table)


def test_between_two_looks_the_file_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    write_gains(file, [row()])
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
        write_gains(file, [row(model=model, text=f"text-{number}")])


def test_two_processes_that_measure_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "gains.json"
    both = [get_context("spawn").Process(target=_write_many, args=(file, model)) for model in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert len(read_gains(file)) == 40


def test_the_rows_that_we_ship_are_for_the_present_texts_of_our_templates() -> None:
    library, _ = load_library([Path(__file__).parents[4] / "templates"])
    texts = {(template.text_digest, template.language) for template in library.templates if template.active}

    assert [row.template for row in shipped_gains().values() if (row.text, row.language) not in texts] == []
    assert len(shipped_gains()) >= 2


def test_texts_that_were_measured_and_left_out_widen_the_intervals_too() -> None:
    (alone,) = corrected({("text", "en", "small"): row()}).values()
    (of_nine,) = corrected({("text", "en", "small"): row()}, dropped=8).values()

    assert of_nine.rows == 9
    assert of_nine.low < alone.low
