"""A webhook that fails in whatever way does not fail the job."""

import socket
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings.tables import Settings
from offline_jobs.engine import alert as alerts


@pytest.mark.parametrize("answer", [b"no HTTP at all\r\n\r\n", b"", b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"])
def test_a_webhook_that_answers_nonsense_is_an_error_and_no_exception(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "WAITS_S", ())
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
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
