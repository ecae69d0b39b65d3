"""How a server is reached: certificates, and the proxy that the environment names."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
import ssl
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from codefavor.backends.base import Seconds, Text
from codefavor.errors import ConfigError
from codefavor.redaction import hide, public_url

# What no URL's host holds: spaces, marks, control characters.
_HOST = re.compile(r"[\w.:%~-]+")


@dataclass(frozen=True)
class Connection:
    """How a server is reached: `timeout_s` bounds a whole exchange, the files are for TLS.

    `ca_bundle` takes the place of the system's certificates, which OpenSSL finds by itself or
    where SSL_CERT_FILE and SSL_CERT_DIR say. `client_key` may stand in `client_cert`'s file too.
    """

    timeout_s: Seconds = 600.0
    ca_bundle: Text | None = None
    client_cert: Text | None = None
    client_key: Text | None = None

    @property
    def has_files(self) -> bool:
        """Whether anything but what the system trusts is named."""
        return any((self.ca_bundle, self.client_cert, self.client_key))

    def tls_context(self) -> ssl.SSLContext:
        """A context of the files. Raises ConfigError that names the one that cannot be used."""
        if self.client_key and not self.client_cert:
            raise ConfigError("--client-key is given without --client-cert")
        what, used = "CA bundle", self.ca_bundle
        try:
            context = ssl.create_default_context(cafile=self.ca_bundle)
            if self.client_cert:
                what, used = "client certificate", self.client_cert
                context.load_cert_chain(self.client_cert, self.client_key)
        except OSError as error:
            raise ConfigError(
                f"the {what} {used} cannot be used: {error.strerror} (PEM form is expected)"
            ) from error
        return context


DEFAULT_CONNECTION = Connection()


class Proxy(NamedTuple):
    """An HTTP proxy: its URL without and with a password, the header that logs in, its variable."""

    url: str
    login_url: str
    headers: Mapping[str, str]
    variable: str


def proxy_of(url: str) -> Proxy | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY mean for this address.

    None for a direct connection. Raises ConfigError for a proxy that is not HTTP.
    """
    server = urlsplit(url)
    proxies = urllib.request.getproxies()
    name = server.scheme if proxies.get(server.scheme) else "all"
    value, host = proxies.get(name), server.hostname or ""
    port = server.port or {"http": 80, "https": 443}.get(server.scheme, 0)
    if not value or _is_direct(host, port, proxies.get("no", "")):
        return None
    variable = f"{name.upper()}_PROXY"
    parts = urlsplit("")
    with contextlib.suppress(ValueError):
        parts = urlsplit(value if "://" in value else f"http://{value}")
    if parts.scheme not in ("http", "https") or not _has_server(parts):
        raise ConfigError(
            f"{variable} names {public_url(value)!r}, which is no HTTP proxy (SOCKS is not "
            f"supported); name one as http://host:port, or add {host} to NO_PROXY"
        )
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        hide(login, unquote(parts.password or ""))
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return Proxy(public_url(parts.geturl()), parts.geturl(), headers, variable)


def _has_server(parts: SplitResult) -> bool:
    """Whether a URL names a host, and no port that is none."""
    try:
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return is_port and _HOST.fullmatch(parts.hostname or "") is not None


def check_url(base_url: str) -> None:
    """Raise ConfigError for what is no server's address; what its query holds is never shown."""
    shown = public_url(base_url)
    parts = urlsplit("")
    with contextlib.suppress(ValueError):
        parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not _has_server(parts):
        raise ConfigError(f"{shown!r} is not the address of a server (http://... or https://...)")
    if parts.username is not None:
        raise ConfigError(f"{shown}: a name and password in an address are not sent; use `headers`")
    hide(*(value for name, value in parse_qsl(parts.query) if "version" not in name.lower()))


def start_concurrency(proxy: Proxy | None, usual: int = 16) -> int:
    """How many requests to begin with: a proxy's wrong password is tried once, not by each."""
    return 1 if proxy is not None and proxy.headers else usual


def _is_direct(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY (*, domains, addresses, networks; with a :port or not) names this host."""
    entries = [one.strip().removeprefix("*.") for one in re.sub(r"[][]", "", no_proxy).split(",")]
    # Domains as Python's own client reads them, which knows no networks.
    named = {"no": ",".join(entries) if "*" not in entries else "*"}
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    if bypass(f"{host}:{port}", named):
        return True
    for entry in entries:
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
    return False
