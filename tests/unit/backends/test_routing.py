"""Model names to backends."""

from typing import Any, cast

import pytest

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Mode
from gateway.backends.routing.routes import Routes
from gateway.backends.routing.stage import RouteStage
from gateway.errors import KeyNotAllowed, NotFound
from gateway.exchange import CanaryTrial, Exchange, Target
from gateway.ports import Backend, ModelCard
from gateway.settings.models import Deployment, ModelTable


class Offering:
    """A backend that only offers."""

    def __init__(
        self, *names: str, endpoints: tuple[Endpoint, ...] = tuple(Endpoint), window: int = 0, longest: int = 0
    ) -> None:
        self.cards = [ModelCard(name, endpoints, window, longest_tokens=longest) for name in names]

    def models(self) -> list[ModelCard]:
        return self.cards


def routes(models: dict[str, ModelTable] | None = None, default: str = "gpt-4o") -> Routes:
    backends = {
        "openai": Offering("gpt-4o", "gpt-4.1-*"),
        "local": Offering("smol", endpoints=(Endpoint.CHAT, Endpoint.COMPLETION), window=8192),
        "embed": Offering("minilm", endpoints=(Endpoint.EMBEDDING,)),
    }
    return Routes(models or {}, cast(dict[str, Backend], backends), default)


def exchange(model: str, key: ClientKey = ClientKey.ANONYMOUS, mode: Mode | None = None) -> Exchange:
    return Exchange("x", Ask(Endpoint.CHAT, model, b"", controls=Controls(mode=mode)), key)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("smol", Target("local", "smol", 8192)),
        ("gpt-4.1-mini", Target("openai", "gpt-4.1-mini")),
        ("auto", Target("openai", "gpt-4o")),
        ("", Target("openai", "gpt-4o")),
    ],
)
def test_a_name_finds_its_backend(name: str, target: Target) -> None:
    assert routes().targets(name, Endpoint.CHAT) == (target,)


def test_a_name_comes_before_a_pattern_that_stands_ahead_of_it() -> None:
    backends = {"all": Offering("*"), "local": Offering("smol")}
    found = Routes({}, cast(dict[str, Backend], backends), "smol")

    assert found.targets("smol", Endpoint.CHAT) == (Target("local", "smol"),)
    assert found.targets("other", Endpoint.CHAT) == (Target("all", "other"),)
    assert found.owner("smol") == "local"


def test_an_alias_names_the_upstream_model_and_one_fallback() -> None:
    alias = ModelTable("openai", upstream="gpt-4o", fallback="smol")

    found = routes({"best": alias}).targets("best", Endpoint.CHAT)

    assert found == (Target("openai", "gpt-4o"), Target("local", "smol", 8192))


def test_an_unknown_model_is_not_found_and_those_of_the_endpoint_are_named() -> None:
    with pytest.raises(NotFound, match=r"Known: gpt-4o, smol, gpt-4\.1-\*\.") as caught:
        routes().targets("gpt-5", Endpoint.CHAT)

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_an_embedding_model_does_not_chat() -> None:
    with pytest.raises(NotFound):
        routes().targets("minilm", Endpoint.CHAT)
    with pytest.raises(NotFound, match=r"Known: gpt-4o, minilm, gpt"):
        routes().targets("gpt-5", Endpoint.EMBEDDING)


def test_without_a_name_an_endpoint_that_the_default_does_not_serve_gets_a_model_that_does() -> None:
    assert routes(default="smol").targets("", Endpoint.EMBEDDING)[0].backend == "openai"


def test_mistakes_in_the_tables_are_all_reported() -> None:
    models = {"a": ModelTable("nowhere"), "b": ModelTable("local", fallback="nothing")}

    found = routes(models, default="missing").problems("config.toml")

    assert [problem.where for problem in found] == [
        "config.toml [models.a] backend",
        "config.toml [models.b] fallback",
        "config.toml [routing] default",
    ]


async def test_a_key_reaches_its_own_models_only() -> None:
    route = RouteStage(routes(), Mode.ON)
    key = ClientKey("team", models=("gpt-4.1-*",))

    assert (await route(exchange("gpt-4.1-nano", key))).route[0].backend == "openai"
    with pytest.raises(KeyNotAllowed):
        await route(exchange("smol", key))


@pytest.mark.parametrize(
    ("configured", "of_model", "of_key", "asked", "result"),
    [
        (Mode.ON, None, Mode.ON, None, Mode.ON),
        (Mode.ON, Mode.OFF, Mode.ON, None, Mode.OFF),
        (Mode.OFF, None, Mode.ON, Mode.ON, Mode.ON),
        (Mode.ON, None, Mode.SHADOW, Mode.ON, Mode.SHADOW),
        (Mode.ON, None, Mode.ON, Mode.OFF, Mode.OFF),
        (Mode.ON, None, Mode.OFF, Mode.ON, Mode.OFF),
    ],
)
async def test_a_request_gets_the_mode_it_asks_for_but_never_more_than_its_key_allows(
    configured: Mode, of_model: Mode | None, of_key: Mode, asked: Mode | None, result: Mode
) -> None:
    models = {"smol": ModelTable("local", mode=of_model)}

    done = await RouteStage(routes(models), configured)(exchange("smol", ClientKey(mode=of_key), asked))

    assert done.mode is result


async def test_a_model_that_is_left_open_has_the_mode_of_the_default() -> None:
    models = {"gpt-4o": ModelTable("openai", mode=Mode.SHADOW)}

    for name in ("", "auto", "gpt-4o"):
        assert (await RouteStage(routes(models), Mode.ON)(exchange(name))).mode is Mode.SHADOW


@pytest.mark.parametrize(
    ("of_gateway", "of_model", "of_key", "asked", "trials"),
    [
        (1.0, None, 1.0, None, ()),
        (0.5, None, 1.0, None, (CanaryTrial("prompt", 0.5),)),
        (0.5, 0.1, 1.0, None, (CanaryTrial("models.smol", 0.1),)),
        (0.5, 1.0, 1.0, None, ()),
        (1.0, 0.1, 0.2, None, (CanaryTrial("models.smol", 0.1), CanaryTrial("keys.team", 0.2))),
        (1.0, 0.1, 0.2, Mode.ON, (CanaryTrial("keys.team", 0.2),)),
        (1.0, 0.1, 0.2, Mode.SHADOW, ()),
        (1.0, 0.1, 0.2, Mode.OFF, ()),
    ],
)
async def test_an_exchange_takes_part_in_the_experiments_of_its_route_and_its_key(
    of_gateway: float, of_model: float | None, of_key: float, asked: Mode | None, trials: tuple[CanaryTrial, ...]
) -> None:
    route = RouteStage(routes({"smol": ModelTable("local", canary=of_model)}), Mode.ON, of_gateway)

    done = await route(exchange("smol", ClientKey("team", canary=of_key), asked))

    assert done.trials == trials


def test_names_under_a_pattern_do_not_fill_the_memory() -> None:
    many: Any = routes()
    for number in range(10_050):
        many.targets(f"gpt-4.1-{number}", Endpoint.CHAT)

    assert len(many._known) == 10_000


def test_a_model_with_a_longer_deployment_is_routed_with_it_at_hand() -> None:
    models = {
        "chat": ModelTable("openai", upstream="gpt-4o", window_tokens=8192, longer="chat-32k"),
        "chat-32k": ModelTable("local", upstream="smol", window_tokens=32_768),
    }
    scaled = Target("local", "smol", 32_768)

    found = routes(models)

    assert found.targets("chat", Endpoint.CHAT) == (Target("openai", "gpt-4o", 8192, scaled),)
    assert found.targets("chat-32k", Endpoint.CHAT) == (scaled,)
    assert found.problems("config.toml") == []


def test_an_engine_that_stretches_is_its_own_longer_deployment() -> None:
    backends = cast(dict[str, Backend], {"torch": Offering("smol", window=1024, longest=16_384)})
    named = Routes({"short": ModelTable("torch", upstream="smol", window_tokens=512)}, backends, "smol")

    whole = Target("torch", "smol", 16_384)
    assert named.targets("smol", Endpoint.CHAT) == (Target("torch", "smol", 1024, whole),)
    assert named.targets("short", Endpoint.CHAT) == (Target("torch", "smol", 512, whole),)


@pytest.mark.parametrize(
    ("models", "what"),
    [
        ({"a": ModelTable("openai", window_tokens=10, longer="nothing")}, "no model 'nothing'"),
        ({"a": ModelTable("openai", upstream="gpt-4o", longer="smol")}, "the window of 'a' is unknown"),
        (
            {"a": ModelTable("openai", window_tokens=9000, longer="smol")},
            "'smol' has a window of 8192 tokens, 'a' one of",
        ),
        ({"a": ModelTable("openai", window_tokens=9, longer="a")}, "'a' has a window of 9 tokens, 'a' one of 9"),
    ],
)
def test_a_longer_deployment_that_is_none_is_a_mistake(models: dict[str, ModelTable], what: str) -> None:
    (problem,) = routes(models).problems("config.toml")
    assert problem.where == "config.toml [models.a] longer"
    assert what in problem.what


async def test_a_share_of_the_conversations_goes_to_another_model_and_stays_there() -> None:
    route = RouteStage(routes({"smol": ModelTable("local", shares={"gpt-4o": 0.2, "gpt-4.1-mini": 0.1})}), Mode.ON)

    async def model(unit: int) -> str:
        ask = Ask(Endpoint.CHAT, "smol", b"", controls=Controls(conversation=f"conversation-{unit}"))
        done = await route(Exchange("x", ask, ClientKey.ANONYMOUS))
        noted = [note.data for note in done.notes if note.stage == "route"]
        assert noted == ([{"model": done.route[0].model}] if done.route[0].model != "smol" else [])
        assert done.route[-1].model == "smol"
        return done.route[0].model

    first = [await model(unit) for unit in range(400)]
    assert first == [await model(unit) for unit in range(400)]
    assert 50 < first.count("gpt-4o") < 110 and 20 < first.count("gpt-4.1-mini") < 65


def test_shares_of_unknown_models_and_over_one_are_mistakes() -> None:
    problems = routes({"smol": ModelTable("local", shares={"absent": 0.7, "gpt-4o": 0.6})}).problems("config.toml")
    assert [problem.what for problem in problems] == ["no model 'absent'", "their sum is more than 1"]


def test_the_fallbacks_of_a_fallback_follow() -> None:
    models = {
        "best": ModelTable("openai", upstream="gpt-4o", fallback="middle"),
        "middle": ModelTable("openai", upstream="gpt-4.1-mini", fallback="smol"),
    }

    targets = routes(models).targets("best", Endpoint.CHAT)

    assert [target.model for target in targets] == ["gpt-4o", "gpt-4.1-mini", "smol"]


def test_deployments_are_listed_by_order_and_take_their_windows_from_the_backends() -> None:
    model = ModelTable(deployments=(Deployment("local", "smol", order=1), Deployment("openai", "gpt-4o")))

    targets = routes({"chat": model}).targets("chat", Endpoint.CHAT)

    assert targets == (Target("openai", "gpt-4o"), Target("local", "smol", 8192))
    assert ("chat", "local") in routes({"chat": model}).names()


def test_mistakes_in_deployments_are_reported() -> None:
    models = {
        "none": ModelTable(),
        "both": ModelTable("local", deployments=(Deployment("local", "smol"),)),
        "wrong": ModelTable(deployments=(Deployment("local", "smol"), Deployment("lokal"))),
        "round": ModelTable("local", upstream="smol", fallback="trip"),
        "trip": ModelTable("local", upstream="smol", fallback="round"),
        "alone": ModelTable("local", upstream="smol", hedge_s=1.0),
    }

    problems = {
        problem.where.removeprefix("config.toml [models."): problem
        for problem in routes(models).problems("config.toml")
    }

    assert problems.keys() == {
        "none] backend",
        "both]",
        "wrong] deployments, number 2",
        "round] fallback",
        "trip] fallback",
        "alone] hedge_s",
    }
    assert "round -> trip -> round" in problems["round] fallback"].what


async def test_a_request_without_tags_keeps_the_order_of_a_single_deployment() -> None:
    stage = RouteStage(routes({"chat": ModelTable("local", upstream="smol")}), Mode.ON)

    exchange = await stage(Exchange("x", Ask(Endpoint.CHAT, "chat", b"{}")))

    assert [target.model for target in exchange.route] == ["smol"]
    assert exchange.notes == ()


async def test_the_choice_of_a_deployment_is_a_note() -> None:
    model = ModelTable(deployments=(Deployment("local", "smol"), Deployment("openai", "gpt-4o", weight=1e-9)))
    stage = RouteStage(routes({"chat": model}), Mode.ON, chance=lambda: 0.5)

    exchange = await stage(Exchange("x", Ask(Endpoint.CHAT, "chat", b"{}")))

    assert [target.backend for target in exchange.route] == ["local", "openai"]
    assert exchange.notes[0].data == {"backend": "local", "model": "smol", "deployments": 2}


async def test_a_fallback_without_the_tags_is_left_out_and_does_not_refuse_the_request() -> None:
    model = ModelTable(deployments=(Deployment("openai", "gpt-4o", tags=("eu",)),), fallback="smol")
    stage = RouteStage(routes({"chat": model}), Mode.ON)

    exchange = await stage(Exchange("x", Ask(Endpoint.CHAT, "chat", b"{}", controls=Controls(tags=("eu",)))))

    assert [target.model for target in exchange.route] == ["gpt-4o"]


async def test_a_model_that_takes_a_share_is_left_out_if_it_has_no_deployment_with_the_tags() -> None:
    model = ModelTable(deployments=(Deployment("openai", "gpt-4o", tags=("eu",)),), shares={"smol": 1.0})
    stage = RouteStage(routes({"chat": model}), Mode.ON)

    exchange = await stage(Exchange("x", Ask(Endpoint.CHAT, "chat", b"{}", controls=Controls(tags=("eu",)))))

    assert [target.model for target in exchange.route] == ["gpt-4o"]


def test_another_model_than_the_request_names_is_refused_to_a_key_that_may_not_use_it() -> None:
    route = RouteStage(routes(), Mode.ON)
    assert route.other_model(exchange("gpt-4o"), "smol") == (Target("local", "smol", 8192),)
    with pytest.raises(KeyNotAllowed):
        route.other_model(exchange("gpt-4o", ClientKey(models=("gpt-*",))), "smol")
    with pytest.raises(NotFound):
        route.other_model(exchange("gpt-4o"), "nobody")
