"""Splits addresses as an operator wrote them, for checks that report every mistake at once."""

from urllib.parse import SplitResult, urlsplit

NO_ADDRESS = SplitResult("", "", "", "", "")


def split_url(url: str) -> SplitResult:
    """Split a URL. One that cannot be split, such as `http://[::1`, has no scheme and no host."""
    try:
        return urlsplit(url)
    except ValueError:
        return NO_ADDRESS


def is_plain(url: str) -> bool:
    """Whether a URL has only the characters that may stand in a request: neither blanks nor letters beyond ASCII."""
    return all("!" <= mark <= "~" for mark in url)
