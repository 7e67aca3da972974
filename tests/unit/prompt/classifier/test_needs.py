import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.classifier.needs import lacks, needs
from gateway.prompt.classifier.rawness import measures
from gateway.prompt.classifier.view import look
from gateway.prompt.language.detect import language_of

ALL = {"task", "context", "format", "constraints", "examples"}


def lacking(text: str, intent: bool = False) -> set[str]:
    seen = look(text)
    return set(lacks(seen, measures(seen), language_of(text), intent=intent))


@pytest.mark.parametrize("text", ["volcanoes", "火山"])
def test_a_bare_topic_lacks_everything(text: str) -> None:
    assert lacking(text) == ALL


@pytest.mark.parametrize(
    "text",
    [
        "Please list three volcanoes in a table for my students, for example Etna. Use at most 50 words.",
        "请用表格为我的学生列出三座火山，例如埃特纳，面向初学者，不超过50字。",
    ],
)
def test_a_prompt_that_says_all_lacks_nothing(text: str) -> None:
    assert lacking(text) == set()


def test_a_known_intent_is_a_task() -> None:
    assert "task" not in lacking("volcanoes", intent=True)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("summarise the attached file", "context"),
        ("总结附件里的内容", "context"),
        ("summarise this: " + "the bridge opened in 1932. " * 200, "long context"),
        ("why does 17 * 3 equal 51", "reasoning"),
        ("证明根号二是无理数", "reasoning"),
        ("what is the weather in Oslo right now", "a tool"),
        ("北京现在天气怎么样", "a tool"),
    ],
)
def test_what_an_answer_needs_is_told(text: str, needed: str) -> None:
    assert needed in needs(look(text), language_of(text))


def test_a_text_that_is_there_is_no_missing_context() -> None:
    assert needs(look("summarise this text: The bridge opened in spring."), "en") == ()


def test_words_count_whole() -> None:
    assert needs(look("write a nowhere poem about toolboxes"), "en") == ()


@given(st.text(max_size=400))
def test_every_text_has_an_answer(text: str) -> None:
    seen = look(text)
    assert set(lacks(seen, measures(seen), "en", intent=False)) <= {
        "task",
        "context",
        "format",
        "constraints",
        "examples",
    }
    assert set(needs(seen, "zh")) <= {"context", "long context", "reasoning", "a tool"}
