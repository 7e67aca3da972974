"""The tables `[routing]` and `[models.x]`: which backend answers which model."""

from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.ask import Mode
from gateway.settings.jobs import Price
from gateway.settings.numbers import Amount, Count, Seconds, Share


class Routing(Struct, frozen=True, forbid_unknown_fields=True):
    """`[routing]`: the models for requests that name no model, an unknown model, or a model by another name."""

    default: str = ""
    """The model for requests that name no model, or name the model `auto`."""
    unknown: str = ""
    """The model for requests that name an unknown model, so that an application can keep its own name for a model.
    Default: none; such a request gets 404."""
    aliases: dict[str, str] = {}
    """Other names for models: `aliases = {"gpt-4o-mini" = "best", "claude-*" = "best"}`. An alias may end in `*`.
    `/v1/models` lists the aliases without `*`."""
    paths: dict[str, str] = {}
    """The backends for paths that pass through unchanged: `paths = {"/v1/audio/*" = "whisper"}`. A path may end in
    `*`; of several, the longest one counts. Default: the backend of the request's model, else the only backend of kind
    `openai`."""
    retries: Amount = 0
    """How often a request is tried again if all backends refuse it temporarily (429, 503, 529, or no connection). Most
    clients repeat such requests themselves."""
    retry_wait_s: Seconds = 10.0
    """The longest wait before a retry. If the backend's `retry-after` is longer, the client gets the refusal."""
    retry_share: Share = 0.2
    """The largest share of retries among all requests. This limit keeps retries from multiplying the load of an
    overloaded backend."""
    trip_after: Count = 5
    """After this many failures in a row, a deployment is skipped if others can answer."""
    rest_s: Seconds = 10.0
    """How long a failing deployment is skipped. After this time, one request tests the deployment. Each failed test
    doubles the time, up to two minutes."""


Ability = Literal["tools", "vision", "schema"]


class SpreadStrategy(StrEnum):
    """The order in which the deployments of a model are tried."""

    WEIGHTED = "weighted"  # at random, in proportion to the weights
    CONVERSATION = "conversation"  # by weights, with the same deployment for all requests of a conversation
    LEAST_BUSY = "least_busy"  # by the number of running requests
    FASTEST = "fastest"  # by the measured time to the first byte and the number of running requests
    CHEAPEST = "cheapest"  # by price
    INTENT = "intent"  # by what the prompt is for, as the classifier says


class Deployment(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[models."name".deployments]]`: one of several backends that answer for a model."""

    backend: str
    upstream: str = ""
    """The model's name at the backend. Default: the name that clients use."""
    weight: Annotated[float, Meta(gt=0)] = 1.0
    """The weight of this deployment. Its share of requests is its weight divided by the sum of all weights."""
    order: Amount = 0
    """Deployments with a higher order are used only if all deployments with a lower one fail."""
    tags: tuple[str, ...] = ()
    """Words that requests can ask for in `foreword.tags`, such as `eu`."""
    abilities: tuple[Ability, ...] | None = None
    """Which of `tools`, `vision` and `schema` the deployment supports. Default: all three."""
    intents: tuple[str, ...] = ()
    """With the strategy `intent`: the intents of prompts that this deployment answers first, such as `write-code`. A
    name may end in `*`. Default: none in particular."""
    price: Price | None = None
    """The price per million tokens. Default: the price in `[prices]` for `upstream` or, if there is none, for the
    model's name."""
    window_tokens: Amount = 0
    """The context window in tokens. Default: the window of the model's table or, if there is none, the one that the
    backend reports."""


class Mirror(Struct, frozen=True, forbid_unknown_fields=True):
    """`[models."name".mirror]`: sends a share of a model's requests to another model, too. Clients notice nothing."""

    model: str
    """The other model. Its answers are recorded only."""
    share: Share = 0.01
    """The share of requests that are sent again, once the client has its answer."""
    requests_per_minute: Amount = 60
    """The most mirrored requests per minute, of all workers that share a state; 0: no limit."""
    requests_per_day: Amount = 1000
    """The most mirrored requests per day; 0: no limit. The other model's backend charges them."""
    at_once: Count = 4
    """The most mirrored requests of a worker at the same time. Further ones are left out, they do not wait."""
    off_above: Count = 64
    """While a worker answers more requests than this, none is mirrored."""
    timeout_s: Seconds = 120.0
    """The longest time for a mirrored request."""


class ModelTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[models."name"]`: a model name for clients, and the backend or the deployments behind it."""

    backend: str = ""
    """The backend that answers. Required if there are no `deployments`."""
    upstream: str = ""
    """The model's name at the backend. Default: the name that clients use."""
    deployments: tuple[Deployment, ...] = ()
    """Several backends that answer for this model, instead of `backend`; see `docs/routing.md`."""
    strategy: SpreadStrategy = SpreadStrategy.WEIGHTED
    """How a deployment is chosen: `weighted`, `conversation`, `least_busy`, `fastest`, `cheapest` or `intent`. If the
    chosen deployment fails, the others are tried."""
    hedge_s: Seconds | None = None
    """After this time without an answer, the request is also sent to the next deployment. The first answer is used,
    and both may be charged. Default: never."""
    fallback: str = ""
    """Another model, which is tried if the backend cannot be reached, is overloaded or fails. If the other model fails
    too, its own fallback is tried."""
    shares: dict[str, Share] = {}
    """The shares of conversations that other models answer: `shares = {smollm-int4 = 0.1}`. A conversation stays with
    its model."""
    mirror: Mirror | None = None
    """Another model that gets a share of the requests as well, for comparison; see `docs/routing.md`."""
    mode: Mode | None = None
    """The mode of requests to this model: `off`, `shadow`, `proven` or `on`. Default: `[prompt] mode`."""
    canary: Share | None = None
    """The share of this model's conversations that are rewritten in the modes `proven` and `on`. Default: `[prompt]
    canary`."""
    window_tokens: Amount = 0
    """The context window in tokens. Set it if the backend does not report it, or if the model works well only with
    fewer tokens."""
    longer: str = ""
    """The name under which clients get the same model with a longer window. Prompts that are too long for this model's
    window are sent to that name."""
    repeat: bool = False
    """Whether to send a request again if the backend took it and then stopped answering: once to the backend, then to
    the fallback. The work may be done, and paid for, twice. A request with an `idempotency-key` header is always
    sent again."""
