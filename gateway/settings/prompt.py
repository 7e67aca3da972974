"""The tables `[prompt]`, `[templates.x]` and `[refiner]`: classifying, rewriting and refining."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.ask import Mode
from gateway.settings.numbers import Amount, Count, Seconds, Share


class PromptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[prompt]`: classifying and rewriting."""

    mode: Mode = Mode.PROVEN
    """`off`: plain proxy. `shadow`: decide and record, but change nothing. `on`: rewrite. `proven`: like `on`, but the
    refiner and the templates that the classifier chooses are used only if measurements showed that they help the
    answering model."""
    canary: Share = 1.0
    """The share of conversations that are rewritten in the modes `proven` and `on`. The others are controls."""
    controls: Share = 0.3
    """The share of conversations that stay unchanged as controls of a template that the classifier chose. The share is
    at most 0.05 once the job `watch` has found the template no worse than its controls. `[templates.x] canary` takes
    precedence. Requests that ask for the mode `on` are never controls."""
    gains: Literal["use", "ignore"] = "use"
    """What to do in mode `on` if measurements showed that a template does not help the answering model. `use`: leave
    the prompt unchanged. `ignore`: rewrite the prompt."""
    templates: tuple[str, ...] = ("templates",)
    """Folders of template files, relative to the config file. Their files together form one library."""
    languages: tuple[str, ...] = ()
    """Folders of additional languages, relative to the config file. A folder is named by its language code, such as
    `es`. Its contents are described in `docs/languages.md`."""
    watch_s: Annotated[float, Meta(ge=0)] = 0.5
    """How often the files are checked for changes; 0: only on `POST /v1/foreword/templates/reload`."""
    budget_ms: Count = 300
    """The time limit of classifying, and also of rewriting. If classifying or rewriting takes longer, the client's
    prompt is sent unchanged."""
    confidence: Share = 0.83
    """The lowest calibrated probability for an intent. Below it, the intent is *unknown* and nothing is rewritten."""
    first_tier: Share = 0.9
    """From this probability on, the static embedding decides alone. Below it, the sentence model is asked as well."""
    improvable: Share = 0.4
    """The lowest probability that a rewrite helps. Below it, the prompt is left unchanged. If the intent is known, the
    confidence in the intent is used as this probability."""
    growth_chars: Count = 20_000
    """The most characters that a template, with its examples, may add to a prompt. A template's `growth_chars` takes
    precedence."""
    found_matches: Amount = 100
    """How many live requests must match a found prompt exactly before another version of the prompt is sent. The
    workers count together if `[state]` is Redis. A request matches exactly if version 1 renders its own text."""
    found_ttl_s: Seconds = 86_400.0
    """How long a conversation keeps its version of a found prompt after its last request."""


class TemplatePolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """`[templates."id"]`: limits of one template, within those of the model and the key."""

    mode: Mode | None = None
    """`off`: never use the template. `shadow`: record its prompt without sending it. `proven`: require a measured gain,
    even in mode `on`. `on`: require none, even in mode `proven`. Default: the mode of the request decides."""
    canary: Share | None = None
    """The share of conversations that get the template; the others are controls. Default, for a template that the
    classifier chose: all but `[prompt] controls`."""


class Refiner(Struct, frozen=True, forbid_unknown_fields=True):
    """`[refiner]`: a model that improves prompts for which no template is used."""

    model: str = ""
    """Any model of the gateway, including a locally trained one. Default: none; nothing is refined."""
    budget_ms: Count = 4000
    """The time limit of the refiner. If the refiner takes longer, the client's prompt is sent unchanged."""
    max_tokens: Count = 800
    """The longest answer of the refiner, in tokens."""
    improvable: Share = 0.5
    """The lowest probability that a rewrite helps. Below it, the prompt is not refined."""
    growth: Annotated[float, Meta(ge=1)] = 6.0
    """The largest allowed length of a refined prompt, as a multiple of the client's prompt. A longer one is not
    used."""
    attach_original: bool = True
    """Whether to send the client's own words below the refined prompt."""
    cache_entries: Amount = 1000
    """How many refined prompts each worker caches; 0: none."""
    cache_ttl_s: Seconds = 3600.0
    """How long a refined prompt is cached."""
