"""Checks a candidate before any model call is spent on it: it must parse, pass lint, and pass its own tests."""

from pathlib import Path

from gateway.errors import TemplateError
from gateway.prompt.authoring.cases import run_cases
from gateway.prompt.authoring.lint import lint
from gateway.prompt.library.library import build_library
from gateway.prompt.templates.fields import Optimise
from gateway.prompt.templates.findings import Severity
from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template


def admitted(source: str, file: Path, limits: Optimise) -> Template | str:
    """Return the parsed template if the candidate is admitted. Otherwise return a description of its mistake, as
    feedback for the next proposal."""
    try:
        template = parse(source, str(file))
    except TemplateError as error:
        return f"The template is broken: {error.what}."
    errors = [finding.what for finding in lint(build_library([template], [])) if finding.level is Severity.ERROR]
    if errors:
        return f"The template does not pass lint: {errors[0]}."
    failed = run_cases(template)
    if failed:
        return f"The template fails its own test: {failed[0].what}."
    size = sum(len(part.source) for part in template.parts)
    if limits.max_chars and size > limits.max_chars:
        return f"The template has {size} characters; at most {limits.max_chars} are allowed."
    return template
