"""What a conversation asks of the collections."""

import pytest

from gateway.ask import Turn
from gateway.context.conversation import brings_its_text, is_on_earlier_text, is_small_talk, queries_of, refers_back


@pytest.mark.parametrize(
    "message",
    [
        *(
            "Thanks, that was very helpful!",
            "hello, how are you today?",
            "ok great",
            "See you tomorrow.",
            "good morning",
        ),
        *(
            "can you help me with something",
            "yes please",
            "lol",
            "谢谢你的帮助！",
            "你好，你是谁？",
            "好的，谢谢",
            "再见",
        ),
    ],
)
def test_small_talk_is_known(message: str) -> None:
    assert is_small_talk(message)
    assert not refers_back(message)


@pytest.mark.parametrize(
    "message",
    [
        *(
            "How many days of leave are there?",
            "Good morning. Who signs my leave form?",
            "thanks, and what about hotels?",
        ),
        *("Is there help for moving?", "你好，年假有几天？", "谢谢，那病假呢？", "What is a good hotel in Japan?"),
    ],
)
def test_a_question_is_no_small_talk(message: str) -> None:
    assert not is_small_talk(message)


@pytest.mark.parametrize(
    "message", ["And for trainees?", "What about Japan?", "Who signs it?", "Hotels?", "那病假呢？"]
)
def test_a_message_that_refers_to_the_one_before_is_known(message: str) -> None:
    assert refers_back(message)


def test_a_message_that_stands_alone_is_looked_up_alone() -> None:
    turns = [Turn("user", "How many days of leave are there?"), Turn("assistant", "Fifteen."), Turn("user", "")]
    alone = "Which planet of the solar system has the largest visible rings?"

    assert queries_of(turns, alone) == (alone,)
    assert queries_of(turns, "And for trainees?") == (
        "And for trainees?",
        "How many days of leave are there?\nAnd for trainees?",
    )
    assert queries_of(turns[2:], "And for trainees?") == ("And for trainees?",)
    assert queries_of(turns, "") == ()


@pytest.mark.parametrize(
    "message",
    [
        "Translate into French: The train leaves at nine.",
        "Summarise this: The meeting moved to Tuesday, since Anna is ill.",
        "Please proofread the following:\nHe go to school every days.",
        "请翻译成英文：火车九点开，我们八点半出发。",
        "What went wrong here?\n\n" + "The server logged an error at nine, and then again at ten. " * 14,
        "List the names in this text.\n\n" + "Anna met Bob in Berlin on Monday and Carla in Rome. " * 3,
    ],
)
def test_a_task_on_a_text_that_came_with_it_is_known(message: str) -> None:
    assert brings_its_text(message)


@pytest.mark.parametrize(
    "message",
    [
        "How many days of leave are there?",
        "Correct me if I'm wrong: leave is fifteen days?",
        "Answer this question: how many days of leave are there?",
        "Summarise the rules on leave.",
        "Hi, I'm new here.\n\nI started in March and come from Berlin.\n\nHow many days of leave do I get?",
        "我刚来公司。\n\n请问年假有几天？",
    ],
)
def test_a_question_with_some_lines_around_it_brings_no_text(message: str) -> None:
    assert not brings_its_text(message)


PASTED = "The harbour master wrote down each ship that came in, and what it carried. " * 20


@pytest.mark.parametrize(
    "message",
    [
        *("Now translate the text above into French.", "Please proofread it.", "Summarise the report I sent earlier."),
        *(
            "What does the letter above say about leave?",
            "Thanks. List all the ships in this.",
            "把上面的文章翻译成英文。",
        ),
        *("请润色全文。", "刚才那篇写的是谁？"),
    ],
)
def test_a_task_on_the_text_of_an_earlier_message_is_known(message: str) -> None:
    turns = [Turn("user", PASTED), Turn("assistant", "I have read it."), Turn("user", message)]
    assert is_on_earlier_text(turns, message)
    assert not is_on_earlier_text([Turn("user", "Hello there."), *turns[1:]], message)


@pytest.mark.parametrize(
    "message",
    [
        "How many days of leave are there?",
        "And for trainees?",
        "Who signs it?",
        "List all kinds of leave.",
        "年假有几天？",
    ],
)
def test_a_question_after_a_long_message_is_still_looked_up(message: str) -> None:
    turns = [Turn("user", PASTED), Turn("assistant", "I have read it."), Turn("user", message)]
    assert not is_on_earlier_text(turns, message)
