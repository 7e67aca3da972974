"""Formats log lines: time, level, event, and the event's fields as key=value."""

import logging

# attributes that every log record has; all others are fields of the event
STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Fields(logging.Formatter):
    """Formats a log record as one line, with its `extra` fields at the end."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = [f"{name}={value}" for name, value in record.__dict__.items() if name not in STANDARD]
        return " ".join([line, *fields])


def set_up(level: str) -> None:
    """Make the gateway's loggers write to standard error at this level. Other loggers are not changed."""
    handler = logging.StreamHandler()
    handler.setFormatter(Fields("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    ours = logging.getLogger("foreword")
    ours.setLevel(level.upper())
    ours.handlers = [handler]
    ours.propagate = False
