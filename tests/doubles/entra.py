"""A stub of Entra ID with TLS, whose certificate is made for it. It issues tokens to an application with a secret."""

import datetime
import ipaddress
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class EntraStub:
    """A context manager. `certificate` is the file that a client has to trust, and `forms` are the token requests."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.certificate = folder / "entra.pem"
        self.forms: list[dict[str, list[str]]] = []
        _write_certificate(self.certificate)
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                authority = f"https://{stub.host}/tenant-1"
                self._answer(
                    200,
                    {
                        "authorization_endpoint": f"{authority}/oauth2/v2.0/authorize",
                        "token_endpoint": f"{authority}/oauth2/v2.0/token",
                        "issuer": f"{authority}/v2.0",
                    },
                )

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                stub.forms.append(form)
                if form.get("client_secret") != [secret]:
                    self._answer(
                        401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret."}
                    )
                    return
                self._answer(
                    200, {"token_type": "Bearer", "expires_in": 3599, "access_token": f"entra-{len(stub.forms)}"}
                )

            def _answer(self, status: int, fields: dict[str, object]) -> None:
                body = json.dumps(fields).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "EntraStub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _write_certificate(file: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
