"""The tables `[routing]` and `[models.x]`: which backend answers which model."""

from msgspec import Struct

from gateway.ask import Mode
from gateway.settings.numbers import Amount, Share


class Routing(Struct, frozen=True, forbid_unknown_fields=True):
    """`[routing]`: the models for requests that name none, an unknown one, or a model by another name."""

    default: str = ""
    """The model of a request that names none, or names `auto`."""
    unknown: str = ""
    """The model for every name that is unknown here, so that an application's own name works unchanged. Left out: such
    a request gets 404."""
    aliases: dict[str, str] = {}
    """Other names for models: `aliases = {"gpt-4o-mini" = "best", "claude-*" = "best"}`. An alias may end in `*`.
    Aliases that are no patterns are listed in `/v1/models`."""


class ModelTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[models."name"]`: a model name for clients, and the backend behind it."""

    backend: str
    upstream: str = ""
    """The model's name at the backend; the same name if left out."""
    fallback: str = ""
    """Another model, tried once if the backend cannot be reached, is overloaded or fails."""
    shares: dict[str, Share] = {}
    """Other models, and the share of conversations that each answers instead: `shares = {smollm-int4 = 0.1}`. A
    conversation stays with its model; the rest stay here."""
    mode: Mode | None = None
    """`off`, `shadow`, `proven` or `on` for requests to this model; left out: `[prompt] mode`."""
    canary: Share | None = None
    """The share of conversations with this model that are rewritten in the modes `proven` and `on`; left out:
    `[prompt] canary`."""
    window_tokens: Amount = 0
    """The context window in tokens. Set it if the backend does not report it, or if the model uses less of it well."""
    longer: str = ""
    """The name of the same model at a deployment with a longer window, for prompts that are too long for this one."""
    repeat: bool = False
    """Whether a request may be sent again (once to the backend, then to the fallback) if the backend took it and then
    stopped answering. The work may then be done, and paid for, twice. A request with an `idempotency-key` header is
    always sent again."""
