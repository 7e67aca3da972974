"""Finds match examples that templates of two intents share. The classifier cannot learn such an example."""

from collections.abc import Iterable, Iterator

from gateway.prompt.templates.faults import at, plain
from gateway.prompt.templates.findings import Finding
from gateway.prompt.templates.template import Template


def clashes(templates: Iterable[Template]) -> Iterator[Finding]:
    """Yield a finding for each match example that already belongs to an earlier template of another intent."""
    owner: dict[str, Template] = {}
    for template in templates:
        for text in template.intent.match:
            first = owner.setdefault(plain(text), template)
            if first.intent.name != template.intent.name:
                what = f"{text[:60]!r} is also a match example of intent {first.intent.name!r} ({first.file})"
                yield at(template, "intent.match", "same-example", what, "leave the example to one of the two intents")
