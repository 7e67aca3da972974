"""Joins the results of pieces in order.

If a model repeats a code fence, list brackets or a title row in each result, the joined text has them only once.
"""

import json
import re

_OPENING_FENCE = re.compile(r"^```[^\n`]*\n")
_CLOSING_FENCE = re.compile(r"\n[ \t]*```$")
_TABLE_HEAD = re.compile(r"^\|[^\n]*\|[ \t]*\n\|[ \t:|-]+\|[ \t]*\n")


class Stitcher:
    """Takes the results one by one, and returns the text that can be sent. The end of a result is held back if the next
    result may continue it.
    """

    def __init__(self) -> None:
        self._fence = ""
        self._lists = False
        self._table_head = ""
        self._held = ""
        self._begun = False

    def add(self, result: str, gap: str) -> str:
        """Return the text to send for the next result. `gap` is the white space that follows the result's piece in the
        source.
        """
        result = result.strip()
        sent = self._next(result) if self._begun else self._first(result)
        self._begun = True
        self._held += gap
        return sent

    def finish(self) -> str:
        """Return the end that was held back, without the white space after it."""
        return self._held.rstrip()

    def _first(self, result: str) -> str:
        opening = _OPENING_FENCE.match(result)
        self._fence = opening[0] if opening and _CLOSING_FENCE.search(result) else ""
        self._lists = _is_list(result)
        head = _TABLE_HEAD.match(result)
        self._table_head = head[0] if head else ""
        return self._hold(result)

    def _next(self, result: str) -> str:
        before, self._held = self._held, ""
        if self._fence and result.startswith(self._fence) and (end := _CLOSING_FENCE.search(before.rstrip())):
            gap = before[len(before.rstrip()) :]
            return before[: end.start()] + (gap or "\n") + self._hold(result[len(self._fence) :])
        if before.rstrip() == "]" and self._lists and _is_list(result):
            joint = "," if result[1:-1].strip() else ""
            return joint + self._hold(result[1:])
        if self._table_head and result.startswith(self._table_head):
            result = result[len(self._table_head) :]
            before = before.rstrip() + "\n"
        return before + self._hold(result)

    def _hold(self, result: str) -> str:
        """Return the result without the end that the next result may continue. This end is held back."""
        fence = _CLOSING_FENCE.search(result) if self._fence else None
        if fence is not None:
            self._held = result[fence.start() :]
            return result[: fence.start()]
        if self._lists and result.endswith("]"):
            self._held = "]"
            return result[:-1]
        return result


def _is_list(result: str) -> bool:
    if not (result.startswith("[") and result.endswith("]")):
        return False
    try:
        return isinstance(json.loads(result), list)
    except (ValueError, RecursionError):
        return False
