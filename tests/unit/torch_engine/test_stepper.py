"""A run ends where nobody waits for it any more, and what one request breaks is its own."""

from collections.abc import Iterator

import pytest
import torch

from gateway.backends.local.torch_engine.model import TokenSegment
from gateway.backends.local.torch_engine.stepper import Run, Stepper
from tests.doubles import tiny_llama

MODEL = tiny_llama.model()


@pytest.fixture
def stepper() -> Iterator[Stepper]:
    made = Stepper(MODEL, 1)
    yield made
    made.close()


def reading(steps: int, done: list[int]) -> Run:
    """Reads a long prompt, a token in each step."""
    block = MODEL.block(1, steps)
    for step in range(steps):
        yield [TokenSegment(block, torch.tensor([[step % 97]]), "none")]
        done.append(step)


def test_a_run_is_over_when_its_generator_is(stepper: Stepper) -> None:
    done: list[int] = []
    stepper.run(lambda: reading(5, done), lambda: False)
    assert done == [0, 1, 2, 3, 4]


def test_who_leaves_while_a_prompt_is_read_stops_the_reading(stepper: Stepper) -> None:
    done: list[int] = []
    stepper.run(lambda: reading(50, done), lambda: len(done) >= 3)
    assert done == [0, 1, 2]


def test_who_has_left_before_it_begins_is_not_read_for_at_all(stepper: Stepper) -> None:
    done: list[int] = []
    stepper.run(lambda: reading(50, done), lambda: True)
    assert done == []
