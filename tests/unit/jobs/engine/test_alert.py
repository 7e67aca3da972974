"""A webhook that fails in whatever way does not fail the job."""

import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings.tables import Settings
from offline_jobs.engine import alert as alerts

FINE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
ANSWERS = [
    [b"no HTTP at all\r\n\r\n"],
    [b""],
    [b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"],
    # Python's own client would follow with a GET, without the message
    [b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", FINE],
]


@pytest.mark.parametrize("answers", ANSWERS)
def test_a_webhook_that_answers_nonsense_is_an_error_and_no_exception(
    answers: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "WAITS_S", ())
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1.0)

        def serve() -> None:
            for answer in answers:
                with suppress(TimeoutError):
                    client, _ = server.accept()
                    with client:
                        client.recv(65536)
                        client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        settings = Settings(root=tmp_path)
        jobs = replace(settings.jobs, webhook=f"http://127.0.0.1:{server.getsockname()[1]}/")
        error = alerts.alert(replace(settings, jobs=jobs), "job-1", {"a": 1})
        thread.join()
    assert error.startswith("the webhook cannot be reached: ")


@pytest.mark.parametrize("url", ["http://ä/", "http://[::1", "http://a b/", "http://127.0.0.1:x/", "https://"])
def test_an_address_that_is_none_is_an_error_and_no_exception(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "WAITS_S", ())
    settings = Settings(root=tmp_path)
    given = replace(settings, jobs=replace(settings.jobs, webhook=url))

    assert alerts.alert(given, "job-1", {}).startswith("the webhook cannot be reached: ")


def test_metrics_of_jobs_that_end_together_are_all_kept(tmp_path: Path) -> None:
    names = ["foreword_drift", "foreword_drift_share", *(f"foreword_{number}" for number in range(10))]
    threads = [threading.Thread(target=alerts.measure, args=(tmp_path, name, "about", {"a": 1.0})) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = alerts.metrics_file(tmp_path).read_text().splitlines()
    assert sorted(line.split("{")[0] for line in lines if "{" in line) == sorted(names)
    alerts.measure(tmp_path, "foreword_drift", "about", {"b": 2.0})
    assert len(alerts.metrics_file(tmp_path).read_text().splitlines()) == len(lines)
