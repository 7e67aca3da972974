"""A gateway in a process of its own, started as an operator starts it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from tests.doubles.ports import free_port


class GatewayProcess:
    """`foreword serve` on a free port. `folder` has the config, the data and the log."""

    def __init__(
        self,
        folder: Path,
        config: str,
        env: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """`before` runs in the new process before the gateway starts."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.health_port = free_port()
        self.health_url = f"http://127.0.0.1:{self.health_port}"
        self.log = folder / "gateway.log"
        self.config = folder / "config.toml"
        self.config.write_text(config, "utf-8")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gateway.cli.main",
                    "serve",
                    "--config",
                    str(self.config),
                    "--port",
                    str(self.port),
                    "--health-port",
                    str(self.health_port),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=before,
            )

    def wait(self, path: str = "/health/ready", timeout_s: float = 120.0) -> "GatewayProcess":
        """Wait until `path` answers 200. Raises with the log if the process ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        # one client for all requests, because creating a client reads the system's certificates, which is slow
        with httpx.Client(base_url=self.url, trust_env=False) as client:
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(path).status_code == 200:
                        return self
                time.sleep(0.05)
        raise AssertionError(f"the gateway did not become ready:\n{self.log.read_text('utf-8', 'replace')}")

    def kill(self) -> None:
        """Kill the whole process group, as `kill -9` does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def workers(self) -> list[int]:
        """Return the process ids of the running workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextlib.contextmanager
def running(folder: Path, config: str, *, timeout_s: float = 120.0) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(folder, config)
    try:
        yield gateway.wait(timeout_s=timeout_s)
    finally:
        gateway.stop()
