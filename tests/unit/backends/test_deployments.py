"""The order in which the deployments of a model are tried."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Turn
from gateway.backends.routing.deployments import (
    DeploymentGroup,
    RoutedDeployment,
    no_such_tags,
    sorted_targets,
    with_tags,
)
from gateway.backends.routing.figures import LiveFigures
from gateway.errors import BadRequest
from gateway.exchange import Exchange, Target
from gateway.settings.models import SpreadStrategy


class Backend:
    def __init__(self, running: int) -> None:
        self.running = running


def deployment(name: str, window: int = 0, **figures: Any) -> RoutedDeployment:
    return RoutedDeployment(Target(name, "m", window), **figures)


def request(
    raw: bytes = b"{}", conversation: str = "", tags: tuple[str, ...] = (), turns: tuple[Turn, ...] = (), **ask: Any
) -> Exchange:
    controls = Controls(conversation=conversation, tags=tags)
    return Exchange("x", Ask(Endpoint.CHAT, "chat", raw, turns, controls=controls, **ask), ClientKey("app"))


def order(
    deployments: tuple[RoutedDeployment, ...],
    strategy: SpreadStrategy = SpreadStrategy.WEIGHTED,
    exchange: Exchange | None = None,
    live: LiveFigures | None = None,
    random: Random | None = None,
) -> list[str]:
    group = DeploymentGroup("chat", strategy, deployments)
    asking = exchange or request()
    if not (groups := with_tags((group,), asking.ask.controls.tags)):
        raise no_such_tags(group, asking.ask.controls.tags)
    targets, _ = sorted_targets(groups[0], asking, live or LiveFigures({}), (random or Random(1)).random)
    return [target.backend for target in targets]


def first_shares(count: int, *args: Any, **kwargs: Any) -> dict[str, float]:
    random = Random(7)
    firsts = Counter(order(*args, random=random, **kwargs)[0] for _ in range(count))
    return {name: number / count for name, number in firsts.items()}


def test_weights_are_the_shares_of_first_choices_and_all_deployments_are_kept() -> None:
    deployments = deployment("a", weight=3.0), deployment("b", weight=1.0)

    shares = first_shares(4000, deployments)

    assert shares["a"] == pytest.approx(0.75, abs=0.03)
    assert sorted(order(deployments)) == ["a", "b"]


def test_a_higher_order_is_used_only_after_all_of_the_lower_one() -> None:
    deployments = deployment("spare", order=1, weight=1000.0), deployment("a"), deployment("b")

    assert all(order(deployments, random=Random(seed))[-1] == "spare" for seed in range(50))


def test_a_conversation_stays_with_its_deployment_and_conversations_spread_by_weight() -> None:
    deployments = deployment("a", weight=2.0), deployment("b", weight=1.0)
    firsts = {
        name: order(deployments, SpreadStrategy.CONVERSATION, request(conversation=name))[0]
        for name in map(str, range(900))
    }

    again = {name: order(deployments, SpreadStrategy.CONVERSATION, request(conversation=name))[0] for name in firsts}

    assert again == firsts
    assert Counter(firsts.values())["a"] / 900 == pytest.approx(2 / 3, abs=0.06)


def test_later_turns_of_a_conversation_without_an_id_have_the_same_deployment() -> None:
    deployments = deployment("a"), deployment("b"), deployment("c")
    opening = (Turn("system", "You answer briefly."), Turn("user", "What is a lease?"))
    later = (*opening, Turn("assistant", "A contract."), Turn("user", "And a sublease?"))

    assert order(deployments, SpreadStrategy.CONVERSATION, request(turns=opening)) == order(
        deployments, SpreadStrategy.CONVERSATION, request(turns=later)
    )


def test_a_removed_deployment_moves_only_its_own_conversations() -> None:
    three = deployment("a"), deployment("b"), deployment("c")
    moved = [
        name
        for name in map(str, range(300))
        if (before := order(three, SpreadStrategy.CONVERSATION, request(conversation=name))[0]) != "c"
        and order(three[:2], SpreadStrategy.CONVERSATION, request(conversation=name))[0] != before
    ]

    assert moved == []


def test_the_least_busy_deployment_is_first_in_proportion_to_its_weight() -> None:
    live = LiveFigures({"a": Backend(4), "b": Backend(3)})

    assert order((deployment("a"), deployment("b")), SpreadStrategy.LEAST_BUSY, live=live) == ["b", "a"]
    assert order((deployment("a", weight=2.0), deployment("b")), SpreadStrategy.LEAST_BUSY, live=live) == ["a", "b"]


def test_the_fastest_is_first_but_for_a_few_tests_and_unmeasured_ones_are_tried_at_once() -> None:
    deployments = deployment("slow"), deployment("quick")
    live = LiveFigures({})
    live.answered(deployments[0].target, 0.9)
    assert order(deployments, SpreadStrategy.FASTEST, live=live)[0] == "quick"
    live.answered(deployments[1].target, 0.1)

    shares = first_shares(2000, deployments, SpreadStrategy.FASTEST, live=live)

    assert 0.95 < shares["quick"] < 1.0


def test_a_fast_deployment_with_a_queue_leaves_requests_to_the_others() -> None:
    deployments = deployment("slow"), deployment("quick")
    quick = Backend(2)
    live = LiveFigures({"slow": Backend(0), "quick": quick})
    live.answered(deployments[0].target, 0.4)
    live.answered(deployments[1].target, 0.1)

    few = first_shares(500, deployments, SpreadStrategy.FASTEST, live=live)
    quick.running = 5
    many = first_shares(500, deployments, SpreadStrategy.FASTEST, live=live)

    assert few["quick"] > 0.9
    assert many["slow"] > 0.9


def test_a_deployment_without_a_measurement_is_tested_by_one_request() -> None:
    deployments = deployment("new"), deployment("known")
    new = Backend(0)
    live = LiveFigures({"new": new, "known": Backend(1)})
    live.answered(deployments[1].target, 0.1)

    first = first_shares(500, deployments, SpreadStrategy.FASTEST, live=live)
    new.running = 2
    then = first_shares(500, deployments, SpreadStrategy.FASTEST, live=live)

    assert first["new"] > 0.9
    assert then["known"] > 0.9


def test_a_server_that_refuses_quickly_is_not_the_fastest() -> None:
    deployments = deployment("works"), deployment("refuses")
    live = LiveFigures({})
    live.answered(deployments[0].target, 0.4)
    live.failed(deployments[1].target, 0.001)

    assert first_shares(200, deployments, SpreadStrategy.FASTEST, live=live)["works"] > 0.9


def test_the_cheapest_that_can_do_it_is_first() -> None:
    deployments = (
        deployment("cheap", price=1.0, abilities=frozenset()),
        deployment("dear", price=9.0),
        deployment("middle", price=4.0, abilities=frozenset({"tools"})),
    )

    assert order(deployments, SpreadStrategy.CHEAPEST) == ["cheap", "middle", "dear"]
    assert order(deployments, SpreadStrategy.CHEAPEST, request(has_tools=True)) == ["middle", "dear"]
    assert order(deployments, SpreadStrategy.CHEAPEST, request(has_tools=True, has_format=True)) == ["dear"]


def test_images_need_vision() -> None:
    deployments = deployment("blind", abilities=frozenset()), deployment("sees", abilities=frozenset({"vision"}))
    image = request(b'{"messages":[{"content":[{"type":"image_url"}]}]}', turns=(Turn("user", "", 0, plain=False),))

    assert all(order(deployments, exchange=image, random=Random(seed)) == ["sees"] for seed in range(20))


def test_where_no_deployment_is_able_all_are_tried() -> None:
    assert order((deployment("a", abilities=frozenset()),) * 2, exchange=request(has_tools=True)) == ["a", "a"]


def test_a_long_prompt_goes_only_where_it_fits() -> None:
    deployments = deployment("short", window=100), deployment("long", window=10_000), deployment("unknown")

    assert sorted(order(deployments, exchange=request(b"x" * 2000))) == ["long", "unknown"]


def test_tags_choose_and_unknown_ones_are_refused_with_the_known() -> None:
    deployments = deployment("a", tags=frozenset({"eu", "fast"})), deployment("b", tags=frozenset({"us"}))

    assert order(deployments, exchange=request(tags=("eu",))) == ["a"]
    with pytest.raises(BadRequest, match="Known tags: eu, fast, us") as caught:
        order(deployments, exchange=request(tags=("eu", "us")))
    assert caught.value.param == "foreword.tags"
