"""Splits an answer into its reasoning and the final answer, at a line that begins with a marker.

Letter case and Markdown around the marker are ignored: models write `**Answer:** 42` as well as `answer: 42`.
"""

import re
from functools import lru_cache

DECORATION = " \t*#>_`"
COLONS = ":："


@lru_cache(maxsize=256)
def _line(marker: str) -> re.Pattern[str]:
    word = re.escape(marker.strip().rstrip(COLONS))
    # a marker without a colon must not match a longer word: `Answers` is not `Answer`
    colon = f"[{DECORATION}]*[{COLONS}]" if marker.strip()[-1:] in COLONS else "(?![A-Za-z0-9_])"
    return re.compile(rf"^[{DECORATION}]*{word}{colon}[{DECORATION}]*", re.IGNORECASE | re.MULTILINE)


def split(text: str, marker: str) -> tuple[str, str] | None:
    """Return the reasoning and the final answer, or None if no line begins with the marker."""
    line = _line(marker).search(text)
    if line is None:
        return None
    return text[: line.start()].rstrip(), text[line.end() :].strip()


class Splitter:
    """Splits an answer that arrives in pieces. The results, joined, are those of `split` for the whole answer. The last
    line is held back for as long as it may still begin with the marker.
    """

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self._begin = marker.strip().rstrip(COLONS).lower()
        self._held = ""
        self._within_line = False
        self._seen: list[str] = []
        self._is_past_marker = False
        self._started = False

    def feed(self, text: str) -> tuple[str, str]:
        """Take the next piece of the text. Return the new reasoning and the new text of the answer."""
        if self._is_past_marker:
            return "", self._answer(text)
        self._seen.append(text)
        released = ""
        if self._within_line:
            head, newline, text = text.partition("\n")
            released = head + newline
            if not newline:
                return released, ""
            self._within_line = False
        self._held += text
        match = _line(self._marker).search(self._held)
        if match is not None and match.end() < len(self._held):
            return released + self._held[: match.start()], self._find(match)
        start = self._held.rfind("\n") + 1
        last = self._held[start:]
        if self._may_begin(last):
            released, self._held = released + self._held[:start], last
        else:
            released, self._held, self._within_line = released + self._held, "", True
        return released, ""

    def finish(self) -> tuple[str, str]:
        """Return the rest of the reasoning and of the answer. If no line began with the marker, the answer is the whole
        text.
        """
        if self._is_past_marker:
            return "", ""
        match = _line(self._marker).search(self._held)
        if match is not None:
            return self._held[: match.start()], self._find(match)
        return "", "".join(self._seen)

    def _find(self, match: re.Match[str]) -> str:
        self._is_past_marker = True
        self._seen.clear()
        return self._answer(self._held[match.end() :])

    def _answer(self, text: str) -> str:
        if not self._started:
            text = text.lstrip(f"{DECORATION}\n")
            self._started = bool(text)
        return text

    def _may_begin(self, line: str) -> bool:
        bare = line.lstrip(DECORATION).lower()
        if len(bare) <= len(self._begin):
            return self._begin.startswith(bare)
        return bare.startswith(self._begin) and not bare[len(self._begin) :].strip(DECORATION + COLONS)
