"""Formats figures as a Markdown table that can be pasted into a page."""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join(
        "-" * (width + 2) if index == 0 else "-" * (width + 1) + ":" for index, width in enumerate(widths)
    )
    return "\n".join([line(head), rule + "|", *(line(row) for row in rows)])
