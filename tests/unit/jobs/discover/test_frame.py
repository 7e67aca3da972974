"""Which fixed text shows that a program built a prompt."""

import pytest

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.frame import LABELLED, is_frame
from offline_jobs.discover.sample import FEWEST_REQUESTS


@pytest.mark.parametrize(
    "pieces",
    [('Question: "', '"\n\nContext: "', '"\n\nAnswer:\n'), ("", "\n\nTL;DR:\n")],
    ids=["three labels in one order", "a label that ends the text"],
)
def test_labels_that_people_do_not_write_need_ten_requests(pieces: tuple[str, ...]) -> None:
    assert is_frame(TextShape(pieces), FEWEST_REQUESTS)


@pytest.mark.parametrize("pieces", [("Title: ", ""), ("Question: ", "\nContext: ", "")])
def test_labels_that_people_write_too_need_more_requests(pieces: tuple[str, ...]) -> None:
    assert not is_frame(TextShape(pieces), LABELLED - 1)
    assert is_frame(TextShape(pieces), LABELLED)
