from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.classifier.features import NAMES, features


def named(text: str) -> dict[str, float]:
    return dict(zip(NAMES, features(text), strict=True))


def test_a_raw_prompt_shows_its_marks() -> None:
    raw = named("tell me about dogs")
    assert raw["no end mark"] == raw["starts in lower case"] == 1.0
    assert raw["constraints"] == raw["output format"] == raw["numbers"] == 0.0


def test_a_well_put_prompt_shows_others() -> None:
    put = named("Please describe three dog breeds in a table, including size. Use at most 80 words, without jargon.")
    assert put["no end mark"] == put["starts in lower case"] == 0.0
    assert put["polite frame"] == 1.0
    assert min(put["constraints"], put["output format"], put["numbers"], put["sentences"]) > 0.0


def test_chinese_prompts_are_measured_too() -> None:
    put = named("请用表格比较三种犬，每种不超过50字，语气正式。")
    assert min(put["constraints"], put["output format"], put["numbers"], put["polite frame"]) > 0.0
    assert put["no end mark"] == 0.0


def test_quoted_text_and_code_are_counted_but_not_read() -> None:
    plain, quoting = named("what is wrong here"), named('what is wrong here ```must 1 2 3 table``` "please 4 5"')
    assert quoting["quotes"] > 0.0
    assert quoting["code"] == 1.0
    assert {name: quoting[name] for name in ("numbers", "constraints", "words")} == {
        name: plain[name] for name in ("numbers", "constraints", "words")
    }


@given(st.text(max_size=500))
def test_every_text_has_finite_features(text: str) -> None:
    values = features(text)
    assert len(values) == len(NAMES)
    assert all(0.0 <= value < 50.0 for value in values)
