"""Values by target, whose models clients may invent."""

from gateway.backends.by_target import MOST_TARGETS, ByTarget
from gateway.backends.calling.breaker import Breaker
from gateway.backends.routing.figures import LiveFigures
from gateway.exchange import Target
from gateway.state.memory import MemoryState

KNOWN = Target("main", "m")


def test_invented_models_drop_out_and_a_target_in_use_stays() -> None:
    values = ByTarget[int]()
    for number in range(3 * MOST_TARGETS):
        values.put(Target("any", f"m{number}"), number)
        if number % 1000 == 0:
            values.put(KNOWN, number)

    assert len(values) == MOST_TARGETS
    assert values.get(KNOWN) is not None
    assert values.get(Target("any", "m0")) is None


def test_a_very_long_name_is_not_kept() -> None:
    values = ByTarget[int]()
    values.put(Target("any", "m" * 1000), 1)

    assert len(values) == 0


async def test_figures_and_circuits_have_this_limit() -> None:
    figures, breaker = LiveFigures({}), Breaker(MemoryState())
    for number in range(MOST_TARGETS + 10):
        target = Target("any", f"m{number}")
        figures.answered(target, 1.0)
        await breaker.failed(target)

    assert len(figures._first_byte_s) == len(breaker._circuits) == MOST_TARGETS
