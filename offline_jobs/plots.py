"""Draws small plots as SVG, without scripts or matplotlib."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, BINS = 420, 120, 30
BEFORE, NOW = "#9aa5b1", "#d1495b"


def histogram(before: Sequence[float], now: Sequence[float]) -> str:
    """Draw two overlaid histograms. The height of a bar shows the share of the values in its range."""
    low, high = _range(before, now)
    bars = []
    tops = [_shares(values, low, high) for values in (before, now)]
    most = max(max(shares, default=0.0) for shares in tops) or 1.0
    width = WIDTH / BINS
    for shares, colour in zip(tops, (BEFORE, NOW), strict=True):
        for index, share in enumerate(shares):
            tall = HEIGHT * share / most
            place = f'x="{index * width:.1f}" y="{HEIGHT - tall:.1f}" width="{width - 1:.1f}" height="{tall:.1f}"'
            bars.append(f'<rect {place} fill="{colour}" fill-opacity="0.55"/>')
    ends = (
        f'<text x="0" y="{HEIGHT + 14}">{low:,.4g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 14}" text-anchor="end">{high:,.4g}</text>'
    )
    return _svg("".join(bars) + ends, HEIGHT + 18)


def shares(before: Mapping[str, int], now: Mapping[str, int], most: int = 12) -> str:
    """Draw two bars per name, one for each window. The names with the largest differences come first, and at most
    `most` are drawn."""
    totals = sum(before.values()) or 1, sum(now.values()) or 1
    change = {name: now.get(name, 0) / totals[1] - before.get(name, 0) / totals[0] for name in {*before, *now}}
    names = sorted(change, key=lambda name: (-abs(change[name]), name))[:most]
    top = max([max(before.get(n, 0) / totals[0], now.get(n, 0) / totals[1]) for n in names], default=1.0) or 1.0
    drawn = []
    for row, name in enumerate(names):
        y = row * 30
        for offset, (counts, total, colour) in enumerate(((before, totals[0], BEFORE), (now, totals[1], NOW))):
            long = 240 * counts.get(name, 0) / total / top
            drawn.append(f'<rect x="170" y="{y + 11 * offset}" width="{long:.1f}" height="10" fill="{colour}"/>')
        drawn.append(f'<text x="164" y="{y + 15}" text-anchor="end">{escape(name or "(none)")}</text>')
    return _svg("".join(drawn), 30 * len(names) + 4)


def _shares(values: Sequence[float], low: float, high: float) -> list[float]:
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / (high - low) * BINS))] += 1
    return [count / max(1, len(values)) for count in counts]


def _range(*sets: Sequence[float]) -> tuple[float, float]:
    values = [value for numbers in sets for value in numbers] or [0.0]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low, low + 1.0)


def _svg(inside: str, height: int) -> str:
    return f'<svg width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">{inside}</svg>'
