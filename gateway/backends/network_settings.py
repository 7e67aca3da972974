"""The settings of closed networks: proxies, private certificate authorities, and client certificates."""

import ssl
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.backends.tunnel import FROM_ENVIRONMENT, Proxy, environment_url, proxy_at
from gateway.errors import Problem
from gateway.settings.certificate import BELONG_TOGETHER, load_certificate, why_not_loaded
from gateway.settings.web_address import split_url


class NetworkSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a remote server is reached."""

    proxy: str = ""
    """An HTTP proxy on the way to the backend, such as `http://proxy.example:3128`; it may hold a name and a password,
    then write `env:NAME`. `environment`: the one in `HTTPS_PROXY` or `HTTP_PROXY`, except for hosts in `NO_PROXY`.
    Default: no proxy, whatever the environment says."""
    ca_file: str = ""
    """A file with the certificates (PEM) of the authorities that are trusted for this backend. Default: those of the
    system."""
    client_cert: str = ""
    """A file with the certificate (PEM) by which the backend recognises the gateway, and its chain."""
    client_key: str = ""
    """The file with the key of `client_cert`, without a passphrase. Default: the key is in `client_cert`."""

    def rooted(self, root: Path) -> "NetworkSettings":
        """Return these settings with absolute paths. Relative paths start at `root`."""
        files = {name: getattr(self, name) for name in ("ca_file", "client_cert", "client_key")}
        return replace(self, **{name: str(root / Path(file).expanduser()) for name, file in files.items() if file})


def proxy_for(settings: NetworkSettings, base_url: str) -> Proxy | None:
    """Return the proxy on the way to a server, or None."""
    url = settings.proxy
    if url == FROM_ENVIRONMENT:
        url = _of_environment(base_url)
    return proxy_at(url) if url else None


def _of_environment(base_url: str) -> str:
    """Return the URL of the proxy that the environment names for a server, or ""."""
    parts = split_url(base_url)
    try:
        port = parts.port
    except ValueError:  # the check of base_url says so
        return ""
    return environment_url(parts.scheme, parts.hostname or "", port or (443 if parts.scheme == "https" else 80))


def tls_for(settings: NetworkSettings) -> ssl.SSLContext:
    """Return the context for connections to a server. Raises `OSError` if a file cannot be used. Reads files."""
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.client_cert:
        load_certificate(context, settings.client_cert, settings.client_key or None)
    return context


def check_network(settings: NetworkSettings, base_url: str) -> Iterable[Problem]:
    secure = base_url.lower().startswith("https:")
    # the value may hold a password, so it is not repeated
    if settings.proxy and settings.proxy != FROM_ENVIRONMENT and proxy_at(settings.proxy) is None:
        remedy = 'For example "http://proxy.example:3128", or "environment".'
        yield Problem("proxy", "is not the http:// URL of a proxy", remedy)
    if settings.proxy == FROM_ENVIRONMENT:
        url = _of_environment(base_url)
        if url and proxy_at(url) is None:
            yield Problem("proxy", "the environment names a proxy that is not an http:// URL", "Name one here.")
    files = [name for name in ("ca_file", "client_cert", "client_key") if getattr(settings, name)]
    if files and not secure:
        yield Problem(files[0], "has no effect without https in base_url", "Leave it out, or write https.")
    if settings.client_key and not settings.client_cert:
        yield Problem("client_key", "needs client_cert", "Name the certificate, too.")
    for name in files:
        file = Path(getattr(settings, name))
        if not file.is_file():
            yield Problem(name, f"there is no file {file}", "The path is relative to the configuration file.")
            return
    if settings.ca_file:
        try:
            ssl.create_default_context(cafile=settings.ca_file)
        except OSError as error:
            what = f"holds no certificate that can be read: {why_not_loaded(error)}"
            yield Problem("ca_file", what, "It must be PEM.")
    if settings.client_cert:
        try:
            tls_for(replace(settings, ca_file=""))
        except OSError as error:
            what = f"cannot be used with its key: {why_not_loaded(error)}"
            yield Problem("client_cert", what, BELONG_TOGETHER)
