"""What of a prompt the passages are compared with."""

import pytest

from gateway.backends.local.torch_engine.backend import asked_last


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Question: Who built it?\nAnswer: It was built by", "Question: Who built it?"),
        ("Q: Who? A: Ann.\n\nQ: When was it built? A: In", "Q: When was it built?"),
        ("问题：谁建造了它？\n回答：", "问题：谁建造了它？"),
        ("The tower was built by", "The tower was built by"),
        ("", ""),
    ],
)
def test_of_a_raw_prompt_it_is_the_last_question(prompt: str, expected: str) -> None:
    assert asked_last(prompt) == expected
