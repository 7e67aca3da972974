"""Prices with dates, and the bill of a version with what a provider takes from its cache."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gateway.ports import Answer
from gateway.prompt.found.adopt import HISTORY, FoundTemplate, SkeletonPart, SlotOfPart, TemplateMessage
from gateway.settings.prices import ModelPrice, TokenUse, cost_of
from gateway.settings.read import read
from offline_jobs.found.bill import bill, fixed_start, front
from offline_jobs.found.trial import FoundAnswer

PRICE = {
    "input": 2.0,
    "output": 8.0,
    "cached": 0.5,
    "before": [
        {"until": date(2026, 7, 1), "input": 4.0, "output": 16.0},
        {"until": date(2025, 1, 1), "input": 8.0, "output": 32.0, "reasoning": 1.0},
    ],
}


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("day", "cost"),
    [
        ("2024-12-31", 8.0 + 32.0 / 2 + 1.0 / 2),
        ("2025-01-01", 4.0 + 16.0),
        ("2026-06-30T23:59:59", 4.0 + 16.0),
        ("2026-07-01", 0.6 * 2.0 + 0.4 * 0.5 + 8.0),
    ],
)
def test_a_call_costs_what_held_on_its_day(day: str, cost: float) -> None:
    settings, problems = read({"prices": {"m": PRICE}}, root=Path())
    assert not problems
    use = TokenUse(1_000_000, 1_000_000, cached=400_000, reasoning=500_000)
    assert cost_of(settings.model_prices, "m", use, at(day)) == pytest.approx(cost)
    assert cost_of(settings.model_prices, "another", use, at(day)) == 0.0


def test_prices_of_earlier_configurations_are_read_and_newer_ones_come_first() -> None:
    table = {"jobs": {"prices": {"m": {"prompt": 9, "completion": 9}, "old": {"prompt": 1}}}, "prices": {"m": PRICE}}
    settings, problems = read(table, root=Path())
    assert not problems
    assert (settings.call_prices["m"].prompt, settings.call_prices["old"].prompt) == (2.0, 1.0)


@pytest.mark.parametrize(
    "wrong", [{"input": -1}, {"inputs": 1}, {"before": [{"input": 1}]}, {"before": [{"until": "soon"}]}, 3]
)
def test_a_wrong_price_is_told(wrong: object) -> None:
    assert read({"prices": {"m": wrong}}, root=Path())[1]


@pytest.mark.parametrize("use", [TokenUse(-1, -1, -1, -1), TokenUse(0, 0, 50, 50)])
def test_unknown_tokens_cost_nothing(use: TokenUse) -> None:
    assert cost_of({"m": ModelPrice(1, 1, 1, 1)}, "m", use, 0.0) == 0.0


def template(before: int, behind: int) -> FoundTemplate:
    system = TemplateMessage("system", (SkeletonPart(text="a" * before),))
    user = TemplateMessage("user", (SkeletonPart(slot="part1", frozen=False), SkeletonPart(text="b" * behind)))
    slots = (SlotOfPart("part1", "text"),)
    return FoundTemplate("x", "p-1", "k", "chat/completions", (system, TemplateMessage(HISTORY), user), slots)


def answered(prompt: int, cached: int = -1) -> FoundAnswer:
    return FoundAnswer(Answer("x", "stop", prompt, 10, cached_tokens=cached), 2000, prompt * 4)


def test_text_behind_a_part_is_not_from_the_cache() -> None:
    price = ModelPrice(input=1.0, output=0.0, cached=0.1)
    first = bill([answered(2000)], template(6400, 0), price)
    behind = bill([answered(2000)], template(0, 6400), price)
    assert (first.cached_tokens, behind.cached_tokens) == (1600, 0)
    assert first.cost < behind.cost
    assert bill([answered(2000)], template(3200, 0), price).cached_tokens == 0  # too short to be cached
    assert bill([answered(2000, cached=700)], template(0, 0), price).cached_tokens == 700
    assert bill([FoundAnswer(Answer())], template(0, 0), price).cost == 0.0
    assert fixed_start(template(5, 3)) == 5


def test_the_front_has_what_nothing_beats_in_all_three() -> None:
    assert front([(1.0, 5.0, 5.0), (0.5, 1.0, 5.0), (0.5, 5.0, 5.0), (0.9, 5.0, 1.0)]) == [0, 1, 3]
    assert front([]) == []
