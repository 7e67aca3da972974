"""Recognises a new prompt as the next version of a known prompt. The texts are nearly the same, and the new prompt came
into use when the known prompt went out of use."""

from collections.abc import Sequence
from difflib import SequenceMatcher

from msgspec.structs import replace

from gateway.prompt.found.found_prompt import FoundPrompt, PromptVersion

ALIKE = 0.7
OVERLAP = 0.05
"""How long two versions may overlap, as a share of the whole time in which they were used. A deployment replaces the
old version gradually."""


def tied(known: Sequence[FoundPrompt], new: Sequence[FoundPrompt]) -> list[FoundPrompt]:
    """Return the known and new prompts. A new prompt that follows another prompt becomes a version of that prompt."""
    prompts = list(known)
    for prompt in sorted(new, key=lambda one: (one.use.first_s, one.id)):
        before = _predecessor(prompts, prompt)
        if before is None:
            prompts.append(prompt)
        else:
            number = before.newest.number + 1
            prompts[prompts.index(before)] = before.with_version(replace(prompt.newest, number=number))
    return prompts


def _predecessor(prompts: Sequence[FoundPrompt], new: FoundPrompt) -> FoundPrompt | None:
    """Return the most similar prompt whose use ended when the use of the new prompt began, or None if no prompt
    qualifies."""
    close = [
        (likeness(one.newest, new.newest), one)
        for one in prompts
        if (one.key, one.endpoint) == (new.key, new.endpoint) and _follows(one.newest, new.newest)
    ]
    score, best = max(close, key=lambda pair: pair[0], default=(0.0, None))
    return best if score >= ALIKE else None


def _follows(old: PromptVersion, new: PromptVersion) -> bool:
    slack = OVERLAP * (max(old.use.last_s, new.use.last_s) - min(old.use.first_s, new.use.first_s))
    return old.use.first_s < new.use.first_s and old.use.last_s <= new.use.first_s + slack


def likeness(one: PromptVersion, two: PromptVersion) -> float:
    """Return the share of fixed words that two versions have in common, from 0 to 1."""
    if (one.system is None) != (two.system is None):
        return 0.0
    return float(SequenceMatcher(None, _words(one), _words(two), autojunk=False).ratio())


def _words(version: PromptVersion) -> list[str]:
    return " ".join(piece for shape in version.shapes for piece in shape.pieces).split()
