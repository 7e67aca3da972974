"""The table `[jobs]`: budgets, models and schedules of offline jobs."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.settings.numbers import Count


class Price(Struct, frozen=True, forbid_unknown_fields=True):
    """The price of a model per million tokens, in any one currency."""

    prompt: Annotated[float, Meta(ge=0)] = 0.0
    completion: Annotated[float, Meta(ge=0)] = 0.0


class Jobs(Struct, frozen=True, forbid_unknown_fields=True):
    """`[jobs]`: the budgets of offline jobs, the models that they use, and what they may publish without approval."""

    calls: Count = 500
    """The most model calls of one job."""
    tokens: Count = 1_000_000
    """The most tokens of one job, prompts and answers together."""
    money: Annotated[float, Meta(ge=0)] = 0.0
    """The highest cost of one job, in the currency of `[prices]`; 0: no limit."""
    minutes: Annotated[float, Meta(gt=0)] = 120.0
    """The longest running time of one job. If the job is resumed, the time of its earlier runs counts."""
    prices: dict[str, Price] = {}
    """Prices of models as earlier versions had them: `prices."gpt-4o" = {prompt = 2.5, completion = 10}`. A table
    `[prices."gpt-4o"]` takes precedence. A model without a price is free."""
    parallel: Count = 2
    """How many model calls a job makes at the same time."""
    model: str = ""
    """The model for which templates are optimised. Default: `[routing] default`."""
    critic: str = ""
    """The model that criticises and proposes. Default: none; only rules make proposals."""
    judge: str = ""
    """The model that judges answers if the right answer is unknown. Default: none; such answers are not judged."""
    auto: Literal["off", "candidate", "canary", "active"] = "candidate"
    """What a job may do without approval when a template wins. `off`: leave the template in the job's folder.
    `candidate`: write its file. `canary`: also use it for a share of the requests. `active`: also use a good canary for
    all requests."""
    share: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    """The share of requests that a canary gets."""
    canary_answers: Count = 200
    """How many scored answers a canary needs before it can become active."""
    growth_answers: Count = 50
    """How many judged answers a version needs before its share grows (`foreword prompts move --switch`)."""
    webhook: Annotated[str, Meta(pattern="^(https?://.*)?$")] = ""
    """Where alerts are sent, as a POST of JSON."""
    webhook_secret: str = ""
    """The secret that signs alerts, such as `env:FOREWORD_WEBHOOK_SECRET`. The header `x-foreword-signature` is
    `sha256=` and the HMAC of the header `x-foreword-timestamp`, a full stop, and the body. Default: not signed."""
    mlflow: str = ""
    """The folder for experiments in MLflow's file format. Default: no experiments are written."""
    schedules: dict[str, str | list[str]] = {}
    """When each job runs, for `foreword jobs cron`: cron's five fields and the job's arguments, such as
    `schedules.optimise = "0 3 * * sun template=summarise.en"`. A list of such texts runs the job at each of their
    times."""
