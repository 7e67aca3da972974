"""When the one who asked for another configuration hears that it is in use."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.serving import config_swap
from gateway.serving.child import Child
from gateway.serving.config_swap import ConfigSwap
from gateway.settings.reload import ReloadOutcome
from gateway.settings.tables import Settings


def taken(leaving: Sequence[Child]) -> tuple[ConfigSwap, list[ReloadOutcome]]:
    heard: list[ReloadOutcome] = []
    swap = ConfigSwap("", heard.append, lambda _: None, [])
    if (check := swap.end_check()) is not None:
        check.close()
    swap.settings = Settings(Path())
    swap.taken(swap.settings.server, leaving)
    return swap, heard


def test_the_result_waits_for_each_worker_that_may_still_accept_a_connection() -> None:
    first, second = Child(1, 1), Child(2, 1)
    swap, heard = taken([first, second])

    assert not swap.tell_taken([first, second])
    first.closed = True
    assert not swap.tell_taken([first, second])
    assert not heard
    second.closed = True
    assert swap.tell_taken([first, second])
    assert [outcome.result for outcome in heard] == ["taken"]


def test_a_worker_that_has_ended_is_not_waited_for() -> None:
    gone = Child(1, 1)
    swap, heard = taken([gone])

    assert swap.tell_taken([])
    assert len(heard) == 1


def test_a_worker_that_says_nothing_does_not_keep_the_result_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_swap, "LEAVE_S", 0.0)
    silent = Child(1, 1)
    swap, heard = taken([silent])

    assert swap.tell_taken([silent])
    assert len(heard) == 1
