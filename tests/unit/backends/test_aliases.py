"""Other names for models: aliases, patterns, and the model for unknown names."""

from typing import cast

import pytest

from gateway.ask import Ask, ClientKey, Endpoint
from gateway.backends.routing.aliases import Aliases
from gateway.backends.routing.routes import Routes
from gateway.backends.routing.stage import RouteStage
from gateway.errors import KeyNotAllowed, NotFound
from gateway.exchange import Exchange, Note
from gateway.ports import Backend, ModelCard
from gateway.settings.models import ModelTable

ALIASES = {"gpt-4o-mini": "best", "gpt-4*": "small", "gpt-*": "best", "claude-*": "best"}


class Offering:
    def __init__(self, *names: str, endpoints: tuple[Endpoint, ...] = (Endpoint.CHAT,)) -> None:
        self.cards = [ModelCard(name, endpoints) for name in names]

    def models(self) -> list[ModelCard]:
        return self.cards


def routes(aliases: dict[str, str] | None = None, unknown: str = "", **models: ModelTable) -> Routes:
    backends = {
        "local": Offering("small", "gpt-4-own"),
        "up": Offering("o*", "o1-*"),
        "embed": Offering("minilm", endpoints=(Endpoint.EMBEDDING,)),
    }
    tables = {"best": ModelTable("up", upstream="o1-large"), **models}
    return Routes(tables, cast(dict[str, Backend], backends), "small", Aliases(aliases, unknown))


def asked(name: str, key: ClientKey = ClientKey.ANONYMOUS) -> Exchange:
    return Exchange("x", Ask(Endpoint.CHAT, name, b""), key)


@pytest.mark.parametrize(
    ("name", "backend", "model"),
    [
        ("gpt-4o-mini", "up", "o1-large"),  # an alias before a pattern
        ("gpt-4o", "local", "small"),  # the longest pattern
        ("gpt-5", "up", "o1-large"),
        ("gpt-4-own", "local", "gpt-4-own"),  # a model's own name before every alias
        ("best", "up", "o1-large"),
        ("o1-mini", "up", "o1-mini"),
    ],
)
def test_an_alias_finds_its_model(name: str, backend: str, model: str) -> None:
    (target,) = routes(ALIASES).targets(name, Endpoint.CHAT)

    assert (target.backend, target.model) == (backend, model)


def test_an_unknown_name_finds_the_model_for_unknown_names() -> None:
    known = routes(unknown="best")

    assert known.targets("whatever", Endpoint.CHAT) == known.targets("best", Endpoint.CHAT)
    assert known.targets("omni", Endpoint.CHAT)[0].model == "omni", "a backend's pattern comes first"
    with pytest.raises(NotFound, match="whatever"):
        routes(ALIASES).targets("whatever", Endpoint.CHAT)


def test_a_model_for_unknown_names_that_cannot_embed_does_not_embed() -> None:
    with pytest.raises(NotFound, match="minilm"):
        routes(unknown="small").targets("text-embedding-3-small", Endpoint.EMBEDDING)


async def test_the_table_of_the_model_applies_and_a_note_names_it() -> None:
    stage = RouteStage(routes({"gpt-*": "half"}, half=ModelTable("up", canary=0.5)), ClientKey().mode)

    done = await stage(asked("gpt-5"))

    assert done.notes == (Note("route", "alias", "half"),)
    assert [(trial.name, trial.share) for trial in done.trials] == [("models.half", 0.5)]


@pytest.mark.parametrize(
    ("rights", "name", "is_allowed"),
    [
        (("best",), "gpt-4o-mini", True),
        (("gpt-4o-mini",), "gpt-4o-mini", True),
        (("gpt-4o-mini",), "best", False),
        (("gpt-4o-mini",), "gpt-5", False),
        (("gpt-5*",), "gpt-5", False),  # the client's own words give no right to what a pattern makes of them
        (("gpt-*",), "gpt-5", True),  # the operator's own pattern
        (("small",), "whatever", False),
        (("whatever",), "whatever", False),
    ],
)
async def test_an_alias_gives_no_right_that_the_key_lacks(rights: tuple[str, ...], name: str, is_allowed: bool) -> None:
    stage = RouteStage(routes(ALIASES, unknown="best"), ClientKey().mode)

    if is_allowed:
        assert (await stage(asked(name, ClientKey(models=rights)))).route
        return
    with pytest.raises(KeyNotAllowed):
        await stage(asked(name, ClientKey(models=rights)))


def test_aliases_that_are_no_patterns_are_listed() -> None:
    assert dict(routes(ALIASES).names()) == {
        "best": "up",
        "small": "local",
        "gpt-4-own": "local",
        "minilm": "embed",
        "gpt-4o-mini": "up",
    }


def test_mistakes_are_told_with_their_place_and_a_remedy() -> None:
    wrong = routes({"*": "best", "small": "best", "a": "nobody", "auto": "best"}, unknown="none")

    told = [str(problem) for problem in wrong.problems("c.toml")]

    assert [line.partition("\n")[0] for line in told] == [
        "c.toml [routing] unknown: no model 'none'",
        "c.toml [routing.aliases] 'a': no model 'nobody'",
        "c.toml [routing.aliases] '*': takes every name",
        "c.toml [routing.aliases] 'small': is the name of a model",
        "c.toml [routing.aliases] 'auto': stands for no model",
    ]
    assert all("\n    " in line for line in told)


def test_long_patterns_of_backends_come_before_short_ones() -> None:
    backends = {"all": Offering("*"), "claude": Offering("claude-*")}
    named = Routes({}, cast(dict[str, Backend], backends), "small")

    assert named.owner("claude-4") == "claude" and named.owner("other") == "all"
