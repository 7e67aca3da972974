"""Reads times in a job's words, such as `7d` or `2026-01-31`."""

import re
from datetime import datetime

from offline_jobs.errors import JobFailed

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def at(text: str, now_s: float) -> float:
    """Convert a text to a time in seconds since 1970.

    An age such as `30s`, `15m`, `2h`, `7d` or `1w` is subtracted from now. A date without a time means midnight. An
    empty text returns 0.
    """
    if not text:
        return 0.0
    if ago := re.fullmatch(r"(\d{1,5})([smhdw])", text):
        return now_s - int(ago[1]) * UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise JobFailed(f"{text!r} is not a time; write 30m, 2h, 7d, or 2026-01-31") from None
