"""What a long request is made of, and which strategy it gets."""

import pytest

from gateway.context.long.choose import Powers, Strategy, choose
from gateway.context.long.shape import shape_of

STORY = "\n\n".join(f"Chapter {n}. Anna went to town number {n} and met a man there." for n in range(40))
STORY_ZH = "\n\n".join(f"第{n}章，安娜去了第{n}个城市，在那里遇见一个人。" for n in range(40))
PASSAGES = "\n\n".join(f"Passage {n}: the code of room {n} is {n * 7}." for n in range(10))
ABLE = Powers(calls=True, logits=True)


def strategy(message: str, powers: Powers = ABLE, *, parts: int = 12, talk: bool = False) -> Strategy | None:
    choice = choose(shape_of(message), talk=talk, parts=parts, prompt_tokens=9000, powers=powers)
    return choice.strategy if choice else None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"Summarise this story:\n\n{STORY}", Strategy.TREE),
        (f"{STORY}\n\nGive me an overview.", Strategy.TREE),
        (f"{STORY_ZH}\n\n请总结这个故事。", Strategy.TREE),
        (f"Whom did Anna meet in town number 7?\n\n{STORY}", Strategy.FOCUS),
        (f"{STORY_ZH}\n\n安娜在第七个城市遇见了谁？", Strategy.FOCUS),
        (f"{STORY}\n\nHow many times did Anna meet a man?", Strategy.GATHER),
        (f"{STORY_ZH}\n\n安娜一共遇见了几次陌生人？", Strategy.GATHER),
        (f"What is the code of room 3?\n\n{PASSAGES}", Strategy.NBCE),
        (f"Translate the story into German.\n\n{STORY}", Strategy.PIECEWISE),
        (f"{STORY_ZH}\n\n把全文翻译成英文。", Strategy.PIECEWISE),
        (STORY, None),
    ],
)
def test_the_task_decides(message: str, expected: Strategy | None) -> None:
    assert strategy(message) == expected


def test_what_cannot_be_done_here_is_not_chosen() -> None:
    assert strategy(f"What is the code of room 3?\n\n{PASSAGES}", Powers(calls=True)) is Strategy.FOCUS
    assert strategy(f"Summarise this story:\n\n{STORY}", Powers()) is None
    assert strategy(f"Translate this story into French:\n\n{STORY}", Powers()) is None
    assert strategy("x", Powers(), talk=True) is Strategy.TRIMMED


WHOLE = f"{STORY}\n\nHow many times did Anna meet a man?"


def test_an_engine_that_can_stretch_reads_the_whole() -> None:
    able = Powers(calls=True, stretched_tokens=16_384)
    assert strategy(WHOLE, able) is Strategy.INTERPOLATED
    assert strategy(STORY, able) is Strategy.INTERPOLATED


TRANSLATE = f"Translate the story into German.\n\n{STORY}"


@pytest.mark.parametrize(
    ("powers", "expected"),
    [
        (Powers(calls=True, stretched_tokens=16_384), Strategy.PIECEWISE),
        (Powers(calls=True, stretched_tokens=16_384, other_tokens=16_384), Strategy.INTERPOLATED),
        (Powers(calls=True, stretched_tokens=16_384, other_tokens=8192), Strategy.PIECEWISE),
        (Powers(calls=True, stretched_tokens=16_384, pieces=False), Strategy.INTERPOLATED),
        (Powers(stretched_tokens=16_384), Strategy.INTERPOLATED),
    ],
)
def test_a_transformation_is_stretched_only_where_neither_another_deployment_nor_pieces_do(
    powers: Powers, expected: Strategy
) -> None:
    assert strategy(TRANSLATE, powers) is expected


def test_the_reason_for_pieces_does_not_say_that_no_window_is_long_enough() -> None:
    choice = choose(shape_of(TRANSLATE), talk=False, parts=12, prompt_tokens=9000, powers=Powers(True, False, 16_384))
    assert choice is not None
    assert "every window" not in choice.why


def test_a_local_question_a_summary_and_a_conversation_need_no_longer_window() -> None:
    able = Powers(calls=True, stretched_tokens=16_384)
    assert strategy(f"Whom did Anna meet in town number 7?\n\n{STORY}", able) is Strategy.FOCUS
    assert strategy(f"Summarise this story:\n\n{STORY}", able) is Strategy.TREE
    assert strategy("x", able, talk=True) is Strategy.TALK


def test_where_no_model_may_be_asked_a_longer_window_is_next() -> None:
    alone = Powers(stretched_tokens=16_384)
    assert strategy(f"Summarise this story:\n\n{STORY}", alone) is Strategy.INTERPOLATED
    assert strategy("x", alone, talk=True) is Strategy.INTERPOLATED


def test_what_is_over_the_longest_window_too_is_read_in_parts_and_the_reason_says_so() -> None:
    choice = choose(shape_of(WHOLE), talk=False, parts=12, prompt_tokens=9000, powers=Powers(True, False, 8192))
    assert choice is not None
    assert choice.strategy is Strategy.GATHER
    assert "9000 tokens are over every window" in choice.why


def test_a_short_summary_in_order_is_refined() -> None:
    task = "Summarise the story in chronological order, with a timeline."
    assert strategy(f"{task}\n\n{STORY}", parts=3) is Strategy.REFINE


def test_pieces_that_have_nothing_to_do_with_it_do_not_change_the_choice() -> None:
    noise = "\n\n".join("The weather report says rain on Monday." for _ in range(50))
    assert strategy(f"Summarise this story:\n\n{STORY}\n\n{noise}") is Strategy.TREE
    assert strategy(f"{noise}\n\n{STORY}\n\nWhom did Anna meet in town number 7?") is Strategy.FOCUS


@pytest.mark.parametrize("ask", ["Sum up the text.", "tl;dr", "What are the main points?", "what is the text about?"])
def test_other_words_for_the_same_task_choose_alike(ask: str) -> None:
    assert strategy(f"{STORY}\n\n{ask}") is Strategy.TREE


def test_the_task_and_the_text_are_told_apart_and_nothing_is_lost() -> None:
    shape = shape_of(f"Whom did Anna meet?\n\n{STORY}")
    assert shape.task == "Whom did Anna meet?"
    assert shape.text.strip() == STORY
    assert len(shape_of(f"What is the code of room 3?\n\n{PASSAGES}").passages) == 10
