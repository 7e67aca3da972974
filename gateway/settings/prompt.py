"""The tables that control classifying, rewriting and refining: `[prompt]`, `[templates.x]`, `[refiner]`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.ask import Mode
from gateway.settings.numbers import Amount, Count, Seconds, Share


class PromptTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[prompt]`: classifying and rewriting."""

    mode: Mode = Mode.PROVEN
    """`off`: plain proxy. `shadow`: decide and record, change nothing. `proven`: rewrite, but let a template that the
    classifier chooses, and the refiner, change a prompt only where measurements showed that this helps the model that
    answers. `on`: rewrite."""
    canary: Share = 1.0
    """The share of conversations that are rewritten in the modes `proven` and `on`; the rest are the control."""
    controls: Share = 0.3
    """The share of conversations that a template which the classifier chooses leaves as they are, so that it can be
    compared with them. Once the job `watch` has settled that the template is no worse, it is at most 0.05.
    `[templates.x] canary` replaces both; a request that asks for the mode `on` is no control."""
    gains: Literal["use", "ignore"] = "use"
    """For the mode `on`. `use`: a prompt is left as it is if measurements showed that this model does not gain from the
    template."""
    templates: tuple[str, ...] = ("templates",)
    """Folders of template files, relative to the config file. All are one library."""
    languages: tuple[str, ...] = ()
    """Folders of further languages, relative to the config file. The name of a folder is the language's code, such as
    `es`. `docs/languages.md` says what is in it."""
    watch_s: Annotated[float, Meta(ge=0)] = 1.0
    """The interval at which the files are checked for changes; 0: only on `POST /v1/foreword/reload`."""
    budget_ms: Count = 300
    """The time limit of classifying, and again of rewriting. After it, the client's own prompt is sent."""
    confidence: Share = 0.85
    """If an intent's calibrated probability is lower, it is *unknown* and nothing is rewritten."""
    first_tier: Share = 0.9
    """From this probability on, the static embedding decides alone; below it, the sentence model is used too."""
    improvable: Share = 0.4
    """If the probability that a rewrite helps is lower, the prompt is left as it is. For a known intent it is the
    confidence."""
    growth_chars: Count = 20_000
    """The most characters that a template, with its examples, may add to a prompt. The template's own `growth_chars`
    takes precedence."""


class TemplatePolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """`[templates."id"]`: limits of one template, within those of route and key."""

    mode: Mode | None = None
    """`off`: the template is never used. `shadow`: its prompt is recorded and not sent. `proven`: it needs a measured
    gain, also where the mode is `on`. `on`: it needs none, also where the mode is `proven`. Left out: the mode of the
    request decides."""
    canary: Share | None = None
    """The share of conversations that get the template; the rest are the control. Left out: what `[prompt] controls`
    leaves, for a template that the classifier chooses."""


class Refiner(Struct, frozen=True, forbid_unknown_fields=True):
    """`[refiner]`: a model that improves prompts for which no template is used."""

    model: str = ""
    """Any model of the gateway, including a locally trained one. Left out: nothing is refined."""
    budget_ms: Count = 4000
    """The time limit of the refiner. After it, the client's own prompt is sent."""
    max_tokens: Count = 800
    """The longest answer of the refiner, in tokens."""
    improvable: Share = 0.5
    """If the probability that a rewrite helps is lower, the prompt is not refined."""
    growth: Annotated[float, Meta(ge=1)] = 6.0
    """The largest factor by which a refined prompt may be longer than the client's. A longer one is not used."""
    attach_original: bool = True
    """Whether the client's own words are sent below the refined prompt."""
    cache_entries: Amount = 1000
    """The number of refined prompts that each worker caches; 0: none."""
    cache_ttl_s: Seconds = 3600.0
    """How long a refined prompt is cached."""
