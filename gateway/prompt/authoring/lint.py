"""Checks a library of templates for mistakes in single files and for conflicts between files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.errors import TemplateError
from gateway.prompt.authoring.lint_examples import Embed, alike, near
from gateway.prompt.authoring.lint_library import translations, unreachable
from gateway.prompt.library.clashes import clashes
from gateway.prompt.library.library import Library
from gateway.prompt.library.pools import PoolRows, read_pool
from gateway.prompt.templates.faults import SPEAKING, Count, at, estimated, faults_of
from gateway.prompt.templates.fields import ExamplePool, Purpose
from gateway.prompt.templates.findings import Finding, Severity, of_error
from gateway.prompt.templates.template import Template


def lint(
    library: Library, errors: Sequence[TemplateError] = (), count: Count = estimated, embed: Embed | None = None
) -> tuple[Finding, ...]:
    """Return all findings, sorted by file and line.

    `errors` are mistakes from loading the library; each becomes a finding. With `embed`, the examples of different
    intents are also compared by meaning.
    """
    findings = [of_error(error) for error in errors]
    findings += [
        Finding(error.file, error.line, error.column, "version-not-raised", error.what) for error in library.changed
    ]
    archive = str(library.archive.folder) if library.archive else ""
    templates = [template for template in library.templates if not archive or not template.file.startswith(archive)]
    for template in templates:
        findings += faults_of(template, _source(template), count)
        findings += _in_pieces(template)
        findings += _pool(template)
    findings += clashes(templates)
    findings += near(templates)
    findings += alike(templates, embed) if embed else ()
    findings += translations(templates)
    findings += unreachable(library, templates)
    return tuple(sorted(set(findings), key=lambda finding: (finding.file, finding.line, finding.column, finding.what)))


def _source(template: Template) -> str:
    try:
        return Path(template.file).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return "\n".join(part.source for part in template.parts)  # a job's candidate is not a file yet


def _in_pieces(template: Template) -> Iterator[Finding]:
    """Yield a finding for an active template that splits the client's message. The classifier cannot choose such a
    template.
    """
    if template.whole or template.purpose is not Purpose.ANSWER or template.status not in SPEAKING:
        return
    what = "`# user` does not write the whole message once, so the classifier cannot choose this template"
    remedy = "write a bare {{ query }} exactly once there, on every path; a draft may be named by requests as it is"
    yield Finding(template.file, template.parts[-1].line, 1, "message-in-pieces", what, remedy)


def _pool(template: Template) -> Iterator[Finding]:
    pool = template.examples
    if not isinstance(pool, ExamplePool) or not pool.pool:
        return
    try:
        rows = read_pool(template)
    except TemplateError as error:
        yield Finding(error.file, error.line, error.column, "pool-unreadable", error.what)
        return
    yield from _labels(template, pool, rows)
    if len(rows.shots) < pool.k:
        what = f"the pool has {len(rows.shots)} different examples, fewer than k: {pool.k}"
        yield at(template, "examples", "pool-too-small", what, "add some, or lower `k`")


def _labels(template: Template, pool: ExamplePool, rows: PoolRows) -> Iterator[Finding]:
    """Yield a finding if the pool's labels and the outputs of its examples differ. Yield a warning if only requests
    that name the template get the examples.
    """
    if pool.labels and set(pool.labels) != set(rows.labels):
        other = ", ".join(sorted(set(pool.labels) ^ set(rows.labels))[:3])
        what = f"`labels` and the outputs of the examples differ: {other}"
        yield at(template, "examples", "labels-differ", what, "list each output once, or leave `labels` out")
    if pool.required is None and not pool.question and template.status in SPEAKING:
        what = "the examples name no `question:`, so only requests that name the template get them"
        remedy = "if they all answer one question about a text, write it there; else say `required: false`"
        yield at(template, "examples", "no-question", what, remedy, Severity.WARNING)
