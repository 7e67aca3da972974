"""Formats the report on reading a file: as lines for people, or as values for clients."""

from typing import Any

from gateway.context.reading.document import ReadReport


def summary_lines(report: ReadReport) -> list[str]:
    """Return the lines of the report. The first line gives the numbers of pages, tables and pictures, and the encoding
    if it was guessed. This line is missing if it would be empty. Each omission has a line of its own.
    """
    counts = (("page", report.pages), ("table", report.tables), ("picture", report.pictures))
    parts = [f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts if count]
    if report.recognised:
        parts.append(f"text of {report.recognised} {'picture' if report.recognised == 1 else 'pictures'} recognised")
    if report.encoding and report.certainty < 1:
        parts.append(f"encoding guessed: {report.encoding}, {report.certainty:.0%} certain")
    return [*([", ".join(parts)] if parts else []), *(f"left out: {what}" for what in report.left_out)]


def report_values(report: ReadReport) -> dict[str, Any]:
    """Return the report as plain values, or an empty mapping if no text was read."""
    if not report.kind:
        return {}
    values: dict[str, Any] = {
        "kind": report.kind,
        "pages": report.pages,
        "tables": report.tables,
        "pictures": report.pictures,
        "left_out": list(report.left_out),
    }
    if report.recognised:
        values["recognised"] = report.recognised
    if report.encoding:
        values |= {"encoding": report.encoding, "encoding_certainty": report.certainty}
    return values
