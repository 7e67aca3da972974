"""Deployments by what the prompt is for."""

from pathlib import Path

import pytest

from gateway.adapters import problems_of
from gateway.ask import Ask, Endpoint
from gateway.assembly.assemble import assemble
from gateway.backends.routing.by_intent import IntentRouteStage, unknown_intents
from gateway.backends.routing.routes import Routes
from gateway.exchange import Exchange, Intent, Target
from gateway.settings.models import Deployment, ModelTable, SpreadStrategy
from gateway.settings.read import load, read_file

CHAT = ModelTable(
    strategy=SpreadStrategy.INTENT,
    deployments=(
        Deployment("code", "c", intents=("write-code", "fix-*")),
        Deployment("words", "w", intents=("summarise",)),
        Deployment("any", "a"),
        Deployment("reserve", "r", order=1, intents=("write-code",)),
        Deployment("words", "w", intents=("shorten",)),
    ),
    fallback="other",
)
MODELS = {"chat": CHAT, "other": ModelTable(backend="last", upstream="l")}


async def order(intent: str, route: tuple[str, ...] = ("words", "any", "code", "reserve", "last")) -> list[str]:
    stage = IntentRouteStage(Routes(MODELS, {}, "chat"))
    targets = tuple(Target(name, name[0]) for name in route)
    exchange = Exchange("x", Ask(Endpoint.CHAT, "chat", b"{}"), route=targets, intent=Intent(intent, 0.9))
    return [target.backend for target in (await stage(exchange)).route]


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        ("write-code", ["code", "any", "words", "reserve", "last"]),
        ("fix-grammar", ["code", "any", "words", "reserve", "last"]),
        ("summarise", ["words", "any", "code", "reserve", "last"]),
        ("shorten", ["words", "any", "code", "reserve", "last"]),
        ("translate", ["any", "words", "code", "reserve", "last"]),
        ("", ["any", "words", "code", "reserve", "last"]),
    ],
)
async def test_those_that_name_the_intent_come_first_then_those_that_name_none(
    intent: str, expected: list[str]
) -> None:
    assert await order(intent) == expected


async def test_what_tags_or_windows_left_out_stays_out_and_a_share_is_left_alone() -> None:
    assert await order("write-code", ("words", "any", "last")) == ["any", "words", "last"]
    assert await order("write-code", ("elsewhere", "words", "code")) == ["elsewhere", "words", "code"]


def test_names_that_no_template_has_are_reported() -> None:
    assert list(unknown_intents({"write-code", "wrte-code", "fix-*"}, ["write-code", "fix-grammar"])) == [
        "no template has the intent 'wrte-code', which a deployment names"
    ]


def test_intents_and_the_strategy_belong_together(tmp_path: Path) -> None:
    def told(strategy: str, intents: str) -> str:
        (tmp_path / "config.toml").write_text(
            '[prompt]\ntemplates = []\n[backends.s]\nkind = "scripted"\nname = "m"\n[models.chat]\n'
            f'strategy = "{strategy}"\ndeployments = [{{backend = "s", upstream = "m", intents = {intents}}}]\n'
        )
        settings, problems = read_file(tmp_path / "config.toml")
        assert settings is not None
        return "\n".join(str(problem) for problem in [*problems, *problems_of(settings)])

    assert "has deployments with intents" in told("weighted", '["a"]')
    assert "no deployment with intents" in told("intent", "[]")
    assert "intent needs the classifier" in told("intent", '["a"]')


@pytest.mark.parametrize(("strategy", "intents", "is_there"), [("intent", '["a"]', True), ("weighted", "[]", False)])
def test_the_stage_runs_right_after_the_classifier_and_only_where_it_is_needed(
    tmp_path: Path, strategy: str, intents: str, is_there: bool
) -> None:
    (tmp_path / "config.toml").write_text(
        '[prompt]\ntemplates = []\n[embedder]\nkind = "sentence"\n[backends.s]\nkind = "scripted"\nname = "m"\n'
        f'[models.chat]\nstrategy = "{strategy}"\n'
        f'deployments = [{{backend = "s", upstream = "m", intents = {intents}}}]\n'
    )
    steps = assemble(load(tmp_path / "config.toml"), only_prepare=True).steps
    names = [step.stage.name for step in steps]

    assert ("intent-route" in names) is is_there
    if is_there:
        step = steps[names.index("intent-route")]
        assert names.index("intent-route") == names.index("classify") + 1
        assert not step.improves  # it runs in the mode `off` too
