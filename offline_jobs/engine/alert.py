"""Sends alerts: to a webhook, and as a metric in a file that Prometheus' node exporter collects."""

import hmac
import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

from gateway.disk.atomic_file import locked, write_whole
from gateway.settings.tables import Settings

log = logging.getLogger("foreword.jobs")
PATIENCE_S = 10
WAITS_S = (1.0, 4.0)
"""How long to wait before a message is sent again."""


def alert(settings: Settings, job: str, what: Mapping[str, Any]) -> str:
    """Post `what` to `[jobs] webhook`. Returns the error, or "". A failing webhook does not fail the job."""
    url = settings.jobs.webhook
    if not url:
        return ""
    body = json.dumps({"job": job, "time_s": time.time(), **what}).encode()
    error = ""
    for wait_s in (*WAITS_S, 0.0):
        error = _posted(url, body, settings.jobs.webhook_secret)
        if not error:
            return ""
        time.sleep(wait_s)
    log.error("the webhook cannot be reached", extra={"job": job, "reason": error})
    return f"the webhook cannot be reached: {error}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects. Python would send a GET without the message to the new address, and call that delivered."""

    def redirect_request(self, *_: Any) -> None:
        return None


def signature(secret: str, stamp: str, body: bytes) -> str:
    """Return the signature of a message: HMAC-SHA256 over the time stamp, a full stop and the body."""
    return "sha256=" + hmac.new(secret.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()


def _posted(url: str, body: bytes, secret: str) -> str:
    """Post a message once. Returns the error, or ""."""
    stamp = str(int(time.time()))
    headers = {"content-type": "application/json"}
    if secret:
        headers |= {"x-foreword-timestamp": stamp, "x-foreword-signature": signature(secret, stamp, body)}
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(urllib.request.Request(url, body, headers), timeout=PATIENCE_S):
            return ""
    except (OSError, HTTPException, ValueError) as error:  # the last for an address that is none
        return str(error) or type(error).__name__


def metrics_file(data_folder: Path) -> Path:
    return data_folder / "jobs" / "foreword_jobs.prom"


def measure(data_folder: Path, name: str, about: str, values: Mapping[str, float]) -> None:
    """Write a gauge to the metrics file in Prometheus' text format, with one value per label.

    Other metrics in the file stay unchanged.
    """
    file = metrics_file(data_folder)
    own = [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
    own += [f"{name}{{of={json.dumps(label)}}} {value:g}" for label, value in values.items()]
    with locked(file):
        others = [line for line in _lines(file) if not _is_of(name, line)]
        write_whole(file, "\n".join([*others, *own]) + "\n")


def _is_of(name: str, line: str) -> bool:
    """Whether a line of the metrics file is about a metric."""
    return line.startswith((f"{name}{{", f"# HELP {name} ", f"# TYPE {name} "))


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []
