"""Does the work of `foreword templates test`. This is a module of its own, because it imports the embedding models."""

import asyncio
from collections.abc import Sequence

import click
from msgspec import Struct, field
from rich.console import Console

from gateway.cli.classifier.work import classifier_of
from gateway.context.embedding.batcher import Batcher
from gateway.prompt.authoring.cases import Failure, run_cases
from gateway.prompt.authoring.match_check import MatchTally, check_examples
from gateway.prompt.authoring.promote_rollback import Examine
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.library.library import Library
from gateway.prompt.templates.template import Template
from gateway.settings.tables import Settings


class TemplateTestReport(Struct, frozen=True):
    """The result of a test run. `classified` is the number of examples that were classified."""

    templates: int
    cases: int
    classified: int = field(name="asked")
    failures: tuple[Failure, ...]

    @property
    def summary(self) -> str:
        classified = f", {self.classified} examples classified" if self.classified else ""
        return f"{self.templates} templates, {self.cases} tests{classified}: {len(self.failures)} failures"


def run(chosen: Sequence[Template], settings: Settings | None) -> TemplateTestReport:
    """Run the tests of the chosen templates. If `settings` is given, also classify the templates' examples.

    `settings.prompt.templates` are the folders of the library. Only examples of active templates are classified,
    because the classifier learns only from them.
    """
    failures = [failure for template in chosen for failure in run_cases(template)]
    cases = sum(len(template.tests) for template in chosen)
    active = [template for template in chosen if template.active]
    if settings is None or not active:
        return TemplateTestReport(len(chosen), cases, 0, tuple(failures))
    tally = asyncio.run(_classified(active, settings))
    return TemplateTestReport(len(chosen), cases, tally.examples, (*failures, *tally.failures))


def examine_with(settings: Settings) -> Examine:
    """Return a function that checks a template's examples. The function trains a classifier for the library as the
    promotion would leave it.
    """

    def examine(library: Library, template: Template) -> list[str]:
        with Console(stderr=True).status("training the classifier"):
            classifier, batcher = classifier_of(settings, library)
        return [str(failure) for failure in asyncio.run(_check(classifier, batcher, template)).failures]

    return examine


async def _check(classifier: Classifier, batcher: Batcher, template: Template) -> MatchTally:
    try:
        return await check_examples([template], classifier.classify)
    finally:
        await batcher.aclose()


async def _classified(templates: Sequence[Template], settings: Settings) -> MatchTally:
    from gateway.assembly.assemble import assemble

    gateway = assemble(settings, only_prepare=True)
    try:
        with Console(stderr=True).status("training the classifier"):
            await gateway.load_prompt()
        classifier = gateway.loaded.classifier
        if classifier is None:
            raise click.ClickException(
                f"the classifier cannot be loaded: {gateway.readiness.parts}; correct this, or use --no-classifier"
            )
        return await check_examples(templates, classifier.classify)
    finally:
        await gateway.aclose()
