"""Backends behind a real HTTP proxy, and behind TLS with a private authority and client certificates."""

import asyncio
import http.server
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.adapters import problems_of
from gateway.ask import Ask, Endpoint
from gateway.backends.remote import Remote
from gateway.backends.remote_settings import RemoteSettings
from gateway.backends.tunnel import environment_url, proxy_at
from gateway.errors import BackendFailed
from gateway.exchange import Exchange
from gateway.settings.read import read_file
from tests.doubles.ports import free_port
from tests.doubles.raw_server import RawConnection, RawServer

OK = b'{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"A"},"finish_reason":"stop"}]}'
EXCHANGE = Exchange("x", Ask(Endpoint.CHAT, "m", b'{"model":"m","messages":[]}'))
SECRET = "s3cret-of-the-proxy"


class Upstream:
    """Keeps the head of each request. Speaks TLS if it gets a context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Any] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def _answer(self) -> None:
                outer.seen.append((self.path, dict(self.headers)))
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(OK)))
                self.end_headers()
                self.wfile.write(OK)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # refused handshakes are a part of these tests

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            # the handshake is done in the thread of each connection
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Certificates:
    """A private authority, a server's certificate, and a client's, as files."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca, self.other_ca, self.client = folder / "ca.pem", folder / "other.pem", folder / "client.pem"
        self.stranger = folder / "stranger.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        stranger.cert_pem.write_to_path(str(self.other_ca))
        authority.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(str(self.client))
        stranger.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(str(self.stranger))
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(self.server)
        self.mutual = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        authority.issue_cert("localhost").configure_cert(self.mutual)
        self.mutual.verify_mode = ssl.CERT_REQUIRED


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """proxy.py with a password. Yields its port and its log."""
    log, port = tmp_path_factory.mktemp("proxy") / "log", free_port()
    options = ["--hostname", "127.0.0.1", "--port", str(port), "--basic-auth", f"us%er:{SECRET}", "--num-workers", "1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "proxy", *options, "--num-acceptors", "1"], stdout=out, stderr=out
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield port, log
    process.terminate()
    process.wait(20)


@pytest.fixture
def upstreams() -> Iterator[Callable[..., Upstream]]:
    made: list[Upstream] = []

    def start(tls: ssl.SSLContext | None = None) -> Upstream:
        made.append(Upstream(tls))
        return made[-1]

    yield start
    for upstream in made:
        upstream.close()


@pytest.fixture
async def remotes() -> AsyncIterator[Callable[..., Any]]:
    opened: list[Remote] = []

    async def start(url: str, **settings: Any) -> Remote:
        remote = Remote("up", RemoteSettings(base_url=url, models=("m",), api_key="sk-up", **settings))
        await remote.open()
        opened.append(remote)
        return remote

    yield start
    for remote in opened:
        await remote.aclose()


async def status(remote: Remote) -> int:
    return (await remote.send(EXCHANGE, "m", ())).status


def through(port: int, user: str = f"us%25er:{SECRET}@") -> str:
    return f"http://{user}127.0.0.1:{port}"


async def test_tls_goes_through_a_tunnel_and_the_proxy_sees_neither_key_nor_path(
    proxy: tuple[int, Path], certificates: Certificates, upstreams: Any, remotes: Any
) -> None:
    port, log = proxy
    upstream = upstreams(certificates.server)
    remote = await remotes(f"https://localhost:{upstream.port}/v1", proxy=through(port), ca_file=str(certificates.ca))

    assert [await status(remote) for _ in range(3)] == [200] * 3
    assert [path for path, _ in upstream.seen] == ["/v1/chat/completions"] * 3
    assert all("proxy-authorization" not in {name.lower() for name in head} for _, head in upstream.seen)
    assert (await remote.manage("GET", "models"))[0] == 200
    await remote.aclose()
    deadline = time.monotonic() + 10
    line = f"CONNECT localhost:{upstream.port}"
    while line not in log.read_text() and time.monotonic() < deadline:  # noqa: ASYNC110 - a process writes it
        await asyncio.sleep(0.05)
    assert line in log.read_text()
    assert "sk-up" not in log.read_text()


async def test_plain_http_goes_through_the_proxy_as_whole_urls(
    proxy: tuple[int, Path], upstreams: Any, remotes: Any
) -> None:
    upstream = upstreams()
    remote = await remotes(f"http://127.0.0.1:{upstream.port}/v1", proxy=through(proxy[0]))

    assert (await status(remote), await remote.ping("models")) == (200, 200)
    paths, heads = (
        [path for path, _ in upstream.seen],
        [{name.lower(): value for name, value in head.items()} for _, head in upstream.seen],
    )
    assert paths == ["/v1/chat/completions", "/v1/models"]
    assert all("via" in head and "proxy-authorization" not in head for head in heads)


@pytest.mark.parametrize("secure", [False, True])
async def test_a_proxy_that_refuses_is_named_without_its_password(
    proxy: tuple[int, Path], certificates: Certificates, upstreams: Any, remotes: Any, secure: bool
) -> None:
    upstream = upstreams(certificates.server if secure else None)
    url = f"https://localhost:{upstream.port}/v1" if secure else f"http://localhost:{upstream.port}/v1"
    more = {"ca_file": str(certificates.ca)} if secure else {}
    remote = await remotes(url, proxy=through(proxy[0], "us%25er:wrong-one@"), **more)

    with pytest.raises(BackendFailed, match=r"its proxy refuses the connection \(status 407\)") as refused:
        await status(remote)
    assert "wrong-one" not in refused.value.message
    assert not upstream.seen


async def test_a_proxy_that_is_down_or_speaks_no_http_is_told(certificates: Certificates, remotes: Any) -> None:
    def mute(connection: RawConnection, number: int) -> None:
        connection.request()
        connection.send(b"SSH-2.0-x\r\n\r\n")

    down = await remotes("https://localhost:1/v1", proxy=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BackendFailed, match="its proxy cannot be reached"):
        await status(down)
    with RawServer(mute) as server:
        other = await remotes("https://localhost:1/v1", proxy=f"http://127.0.0.1:{server.port}")
        with pytest.raises(BackendFailed, match=r"its proxy refuses the connection \(no HTTP\)"):
            await status(other)


async def test_only_the_named_authority_is_trusted(certificates: Certificates, upstreams: Any, remotes: Any) -> None:
    url = f"https://localhost:{upstreams(certificates.server).port}/v1"

    assert await status(await remotes(url, ca_file=str(certificates.ca))) == 200
    for wrong in ({}, {"ca_file": str(certificates.other_ca)}):
        with pytest.raises(BackendFailed, match="its certificate is not trusted"):
            await status(await remotes(url, **wrong))
    by_address = url.replace("localhost", "127.0.0.1")
    with pytest.raises(BackendFailed, match="its certificate is not trusted"):
        await status(await remotes(by_address, ca_file=str(certificates.ca)))


async def test_a_backend_that_wants_a_client_certificate_gets_it(
    certificates: Certificates, upstreams: Any, remotes: Any
) -> None:
    upstream = upstreams(certificates.mutual)
    url, ca = f"https://localhost:{upstream.port}/v1", str(certificates.ca)

    assert await status(await remotes(url, ca_file=ca, client_cert=str(certificates.client))) == 200
    for wrong in ({}, {"client_cert": str(certificates.stranger)}):
        with pytest.raises(BackendFailed):
            await status(await remotes(url, ca_file=ca, **wrong))
    assert len(upstream.seen) == 1


def test_the_environment_names_a_proxy_only_where_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example,10.0.0.1:8000")

    assert environment_url("https", "api.example", 443) == "http://proxy.example:3128"
    assert environment_url("https", "a.inside.example", 443) == ""
    assert environment_url("https", "10.0.0.1", 8000) == ""
    assert environment_url("http", "api.example", 80) == ""
    assert proxy_at("http://a:b%40c@[::1]:1") is not None
    assert [proxy_at(url) for url in ("https://p:1", "socks5://p:1", "p:1", "http://", "http://p:99999")] == [None] * 5


def test_mistakes_are_told_with_key_and_remedy_and_no_secret(tmp_path: Path, certificates: Certificates) -> None:
    def told(more: str, url: str = "https://a.example/v1") -> str:
        head = f'[prompt]\ntemplates = []\n[backends.up]\nkind = "openai"\nbase_url = "{url}"\nmodels = ["m"]\n'
        (tmp_path / "config.toml").write_text(head + more)
        settings, problems = read_file(tmp_path / "config.toml")
        assert settings is not None
        return "\n".join(str(problem) for problem in [*problems, *problems_of(settings)])

    wrong = told(f'proxy = "socks5://a:{SECRET}@p:1"')
    assert "[backends.up] proxy: is not the http:// URL of a proxy" in wrong
    assert SECRET not in wrong
    assert "[backends.up] ca_file: there is no file" in told('ca_file = "no.pem"')
    (tmp_path / "text.pem").write_text("no certificate")
    assert "[backends.up] ca_file: holds no certificate" in told('ca_file = "text.pem"')
    assert "[backends.up] client_cert: cannot be used with its key" in told('client_cert = "text.pem"')
    assert "needs client_cert" in told('client_key = "text.pem"')
    assert "has no effect without https" in told(f'ca_file = "{certificates.ca}"', "http://a.example/v1")
    # a path is relative to the configuration file
    (tmp_path / "ca.pem").write_bytes(certificates.ca.read_bytes())
    assert told('ca_file = "ca.pem"') == ""
