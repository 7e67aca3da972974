"""Who is on which side of an experiment."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.ask import Ask, Controls, Endpoint
from gateway.exchange import CanaryTrial, Exchange
from gateway.prompt.policy.arms import place, sticky_id, takes_part

MANY = [f"user-{number}" for number in range(4000)]


def exchange(id: str = "x", user: str = "", conversation: str = "") -> Exchange:
    return Exchange(id, Ask(Endpoint.CHAT, "small", b"", user=user, controls=Controls(conversation=conversation)))


def test_a_conversation_stays_on_its_side_else_a_user_else_nobody_but_the_exchange() -> None:
    assert sticky_id(exchange("x", "ann", "c-1")) == "c-1"
    assert sticky_id(exchange("x", "ann")) == "ann"
    assert sticky_id(exchange("x")) == "x"


@given(st.text(), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_raising_the_share_takes_nobody_out_again(experiment: str, user: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    asks = exchange(user=user)

    assert takes_part(asks, CanaryTrial(experiment, high)) or not takes_part(asks, CanaryTrial(experiment, low))


@given(st.text(), st.text())
def test_a_share_of_nothing_takes_nobody_and_the_whole_takes_all(experiment: str, user: str) -> None:
    assert not takes_part(exchange(user=user), CanaryTrial(experiment, 0.0))
    assert takes_part(exchange(user=user), CanaryTrial(experiment, 1.0))


def test_a_share_is_met_and_two_experiments_divide_each_other_evenly() -> None:
    first = {who for who in MANY if place("models.a", who) < 0.3}
    second = {who for who in MANY if place("models.b", who) < 0.5}

    assert 0.27 < len(first) / len(MANY) < 0.33
    assert 0.44 < len(first & second) / len(first) < 0.56
