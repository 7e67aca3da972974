from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends import openai_tokens as tokens
from gateway.backends.openai_tokens import MARGIN, Counter, estimate

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def counter() -> Counter:
    return Counter("gpt-4")


@pytest.fixture
def nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))


@pytest.mark.usefixtures("nothing_cached")
def test_a_model_with_a_bundled_encoding_is_counted_exactly() -> None:
    counter = Counter("gpt-4")

    assert (counter.count("Hello, world!"), counter.count("")) == (4, 0)


@pytest.mark.usefixtures("nothing_cached")
@pytest.mark.parametrize("model", ["gpt-4o", "some-other-model"])
def test_a_model_whose_encoding_is_not_here_is_counted_with_a_margin(model: str) -> None:
    text = "Count these words, please. " * 20
    exact = Counter("gpt-4").count(text)

    assert exact < Counter(model).count(text) <= exact * MARGIN + 1


@pytest.mark.usefixtures("nothing_cached")
def test_with_no_encoding_at_all_the_count_is_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "BUNDLED", "an encoding that nobody has")

    counter = Counter("gpt-4o")

    assert counter.count("Hello, world!") == estimate("Hello, world!")


def test_the_name_of_a_special_token_is_text_like_any_other(counter: Counter) -> None:
    assert counter.count("<|endoftext|>") > 1


@given(st.text())
def test_an_estimate_is_never_more_than_the_bytes(text: str) -> None:
    assert estimate(text) <= len(text.encode())


def test_an_estimate_of_what_people_write_is_not_below_the_count(counter: Counter) -> None:
    files = [*ROOT.glob("gateway/*.py"), *ROOT.glob("templates/*/*.prompt.md")]
    too_low = [
        file.name for file in files if estimate(file.read_text("utf-8")) < counter.count(file.read_text("utf-8"))
    ]

    assert len(files) > 10
    assert too_low == []


@given(st.text())
def test_no_text_has_more_tokens_than_bytes(text: str) -> None:
    assert _shared.count(text) <= len(text.encode())


_shared = Counter("gpt-4")
