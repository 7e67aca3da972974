"""The port speaks TLS with a certificate of its own."""

import re
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme
from openai import OpenAI
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from gateway.cli.check import mistakes
from gateway.serving.tls import tls_of
from gateway.settings.read import load
from tests.doubles.process import GatewayProcess

CONFIG = """
[server]
tls_cert = "cert.pem"
tls_key = "key.pem"
idle_timeout_s = 5
[prompt]
templates = []
[records]
policy = "none"
[backends.scripted]
kind = "scripted"
name = "m"
"""
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Certificates:
    """A private authority, which issues certificates for `localhost` into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.ca))
        self.trusting = ssl.create_default_context(cafile=str(self.ca))

    def issue(self) -> None:
        issued = self._authority.issue_cert("localhost", "127.0.0.1")
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        (self._folder / "cert.pem").write_bytes(chain)
        issued.private_key_pem.write_to_path(str(self._folder / "key.pem"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    made = Certificates(folder)
    made.issue()
    return made


@pytest.fixture(scope="module")
def gateway(folder: Path, certificates: Certificates) -> Iterator[GatewayProcess]:
    process = GatewayProcess(folder, CONFIG)
    process.url = process.health_url  # the second port stays plain
    try:
        process.wait()
        process.url = f"https://localhost:{process.port}"
        yield process
    finally:
        process.stop()


@pytest.fixture
def client(gateway: GatewayProcess, certificates: Certificates) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, verify=certificates.trusting, trust_env=False, timeout=20) as made:
        yield made


def test_requests_streams_and_the_official_client_are_served(gateway: GatewayProcess, client: httpx.Client) -> None:
    whole = [client.post("/v1/chat/completions", json=CHAT) for _ in range(3)]
    openai = OpenAI(base_url=f"{gateway.url}/v1", api_key="none", http_client=client, max_retries=0)
    stream = openai.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}], stream=True)
    pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]

    assert [answer.status_code for answer in whole] == [200] * 3
    assert "".join(piece or "" for piece in pieces) == whole[0].json()["choices"][0]["message"]["content"]


def test_large_requests_and_answers_arrive_whole(client: httpx.Client) -> None:
    text = "word " * 400_000
    answer = client.post("/v1/chat/completions", json={**CHAT, "messages": [{"role": "user", "content": text}]})
    document = client.get("/openapi.json")

    # the request of 2 MB was read whole: it is refused because it outgrows the model's window
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert document.json()["openapi"]


def test_a_refused_request_gets_its_answer_before_the_connection_closes(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", content=b"x" * (33 * 2**20))

    assert answer.status_code == 413
    assert answer.json()["error"]["message"]


def test_websockets_are_served(gateway: GatewayProcess, certificates: Certificates) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"wss://localhost:{gateway.port}/v1/realtime?model=m", ssl=certificates.trusting).close()

    assert 400 <= refused.value.response.status_code < 500


def test_plain_http_and_silence_stop_nobody(gateway: GatewayProcess, client: httpx.Client) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://localhost:{gateway.port}/v1/models", trust_env=False, timeout=20)
    silent = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(50)]
    began = time.monotonic()

    status = client.post("/v1/chat/completions", json=CHAT).status_code

    assert (status, time.monotonic() - began < 5) == (200, True)
    for connection in silent:
        connection.close()


def test_a_stranger_s_authority_is_refused_by_the_client(gateway: GatewayProcess) -> None:
    with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
        httpx.get(f"{gateway.url}/v1/models", trust_env=False)


def test_a_reload_takes_a_new_certificate(
    gateway: GatewayProcess, certificates: Certificates, client: httpx.Client
) -> None:
    def serial() -> object:
        with (
            socket.create_connection(("127.0.0.1", gateway.port)) as raw,
            certificates.trusting.wrap_socket(raw, server_hostname="localhost") as secured,
        ):
            return (secured.getpeercert() or {})["serialNumber"]

    before = serial()
    certificates.issue()
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 60
    while serial() == before:
        assert time.monotonic() < deadline, gateway.log.read_text()[-2000:]
        time.sleep(0.2)

    assert client.post("/v1/chat/completions", json=CHAT).status_code == 200


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ('tls_cert = "none.pem"', r"\[server\] tls_cert: there is no file .*none.pem"),
        ('tls_cert = "cert.pem"\ntls_key = "none.pem"', r"\[server\] tls_key: there is no file .*none.pem"),
        ('tls_key = "key.pem"', r"\[server\] tls_key: needs tls_cert"),
        ('tls_cert = "ca.pem"\ntls_key = "key.pem"', r"\[server\] tls_cert: cannot be used with its key"),
        ('tls_cert = "config.toml"', r"\[server\] tls_cert: cannot be used with its key"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_a_mistake_in_the_configuration(
    server: str, said: str, tmp_path: Path
) -> None:
    Certificates(tmp_path).issue()
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.replace('tls_cert = "cert.pem"\ntls_key = "key.pem"', server))

    problems = mistakes(config)

    assert [bool(re.search(said, str(problem))) for problem in problems] == [True]
    assert "PRIVATE KEY" not in str(problems[0])


def test_without_a_certificate_the_port_is_plain(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.replace('tls_cert = "cert.pem"\ntls_key = "key.pem"', ""))

    assert tls_of(load(config)) is None
