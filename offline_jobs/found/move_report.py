"""The report of `move-prompt`: both models side by side, a verdict, and how to switch."""

import json
import math
import re
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from gateway.exchange import Target
from gateway.records.scores import WORTHWHILE, Paired
from gateway.settings.tables import Settings
from offline_jobs.found.model_sides import ModelDifferences, ModelSide

BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class MoveReport(Struct, frozen=True):
    """The result. `sides` are the present and the new model. `worse` has what the new model does worse with certainty.

    `switch` is configuration that gives the new model a share of the requests; the job does not apply it.
    """

    prompt: str
    rows: int
    rows_with_right_answers: int
    has_contract: bool
    sides: tuple[ModelSide, ModelSide]
    differences: ModelDifferences
    worse: list[str]
    verdict: str
    problem: str
    """The commonest reason why the new model did not answer, or ""."""
    switch: str
    adapted: str = ""
    """What came of `adapt`, or "" without it."""
    switched: str = ""
    """What came of `switch`, or "" without it."""


def verdict_of(changes: ModelDifferences) -> tuple[list[str], str]:
    """Return what is worse with certainty, and the verdict."""
    worse = ["it answers less often"] if _is_lower(changes.answered) else []
    if _is_lower(changes.right):
        worse.append("it is right less often")
    if _is_lower(changes.kept):
        worse.append("it breaks the answer contract more often")
    if worse:
        return worse, f"worse with certainty: {' and '.join(worse)}"
    known = [test for test in (changes.right, changes.kept) if test is not None]
    if not known:
        return worse, "nothing tells which answers are right: send feedback, or learn the answer contract"
    lowest = min(_low(test) for test in known)
    if lowest < -WORTHWHILE:
        return worse, f"too few rows to tell: a loss of up to {-lowest:.2f} is possible"
    if changes.right is None:
        return worse, f"it keeps the answer contract (loss below {-lowest:.3f}); which answers are right is unknown"
    if changes.right.is_higher:
        return worse, "better: it is right more often"
    return worse, f"no noticeable loss: below {max(0.0, -lowest):.3f}"


def _is_lower(test: Paired | None) -> bool:
    return test is not None and test.is_lower


def _low(test: Paired) -> float:
    """Return the lower bound of a difference of shares. Where no pair differs, resampling knows no doubt: then the rule
    of three holds, which bounds the share of pairs that might."""
    return test.low if test.low < test.mean else min(test.low, test.mean - 3 / test.pairs)


def switch_text(settings: Settings, name: str, target: Target, other: str, share: float) -> str:
    """Return configuration that gives `share` of the conversations of model `name` to `other`. `target` is where `name`
    leads now."""
    name = settings.routing.aliases.get(name, name)
    table = settings.models.get(name)
    shares = {**(table.shares if table is not None else {}), other: share}
    line = "shares = {" + ", ".join(f"{_key(model)} = {part:g}" for model, part in shares.items()) + "}"
    if table is not None:
        return f"[models.{_key(name)}]  # the table that is there; its other lines stay\n{line}"
    return f"[models.{_key(name)}]\nbackend = {_string(target.backend)}\nupstream = {_string(target.model)}\n{line}"


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    """Write a text as a string of TOML. JSON would write an emoji as two escapes, which TOML refuses."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def report_text(report: str) -> str:
    """Write a report (JSON) as a table."""
    made = msgspec.json.decode(report, type=MoveReport)
    old, new = made.sides
    diff = made.differences
    lines = [
        f"{made.prompt}: {made.rows} recorded requests, {made.rows_with_right_answers} with a right answer",
        "",
        _line("", old.model, new.model, "difference, 95 % interval"),
        _line("right", _share(old.right), _share(new.right), _test(diff.right, 3)),
        _line("contract kept", _share(old.kept), _share(new.kept), _test(diff.kept, 3)),
        _line("contract broken", str(old.broken), str(new.broken)),
        _line("no answer", str(old.failed), str(new.failed)),
        _line("prompt tokens", f"{old.prompt_tokens:.1f}", f"{new.prompt_tokens:.1f}", _test(diff.prompt_tokens, 1)),
        _line(
            "answer tokens",
            f"{old.completion_tokens:.1f}",
            f"{new.completion_tokens:.1f}",
            _test(diff.completion_tokens, 1),
        ),
        _line("cost of 1,000", _money(old.cost), _money(new.cost), _test(diff.cost, 4, 1000)),
        _line("median ms", f"{old.median_ms:.0f}", f"{new.median_ms:.0f}"),
        _line("90th percentile", f"{old.p90_ms:.0f}", f"{new.p90_ms:.0f}"),
        _line("mean ms", "", "", _test(diff.ms, 1)),
        "",
        f"{new.model}: {made.verdict}",
    ]
    if made.problem:
        lines.append(f"no answer, most often: {made.problem}")
    if not made.has_contract:
        lines.append(f"no answer contract; run: foreword jobs run learn-contract prompt={made.prompt}")
    if made.adapted:
        lines += ["", *made.adapted.splitlines()]
    if made.switched:
        return _printable([*lines, "", *made.switched.splitlines()])
    lines += [
        "",
        "Nothing is changed for the application. `--switch` moves this prompt alone. "
        f"This gives {new.model} a share of all conversations with {old.model}, those of other prompts too:",
        "",
        *made.switch.rstrip().splitlines(),
    ]
    return _printable(lines)


def _printable(lines: Sequence[str]) -> str:
    """Join the lines. Names and errors of providers may hold line breaks and control characters of the terminal."""
    return "\n".join(_CONTROL.sub("\ufffd", line) for line in lines)


def _line(name: str, *columns: str) -> str:
    return f"{name:<17}" + "  ".join(f"{column[:24]:<16}" for column in columns[:2]) + "  " + "".join(columns[2:])


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.3f}"


def _money(cost: float | None) -> str:
    return "no price" if cost is None else f"{1000 * cost:.4f}"


def _test(test: Paired | None, digits: int, scale: float = 1.0) -> str:
    if test is None or not math.isfinite(test.mean):
        return ""
    mean, low, high = (f"{scale * value:+.{digits}f}" for value in (test.mean, test.low, test.high))
    return f"{mean} [{low}, {high}], p = {test.p:.4f}"
