"""The HTTP client of the Messages API: where it asks, by which login, through which proxy, trusting whom.

All of it is read from the variables that a Claude process would get (`environment.CLAUDE_ENVIRONMENT`), so that both ways
reach the same place. Redirects, retries and compression are off: each would hide what the API has said.
"""

from __future__ import annotations

import re
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any

import httpx2

from app.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings

API = "https://api.anthropic.com"
#: the Messages API's only one
VERSION = "2023-06-01"
#: how long an idle connection is kept, since a new one costs a TLS handshake, seconds
KEEP_SECONDS = 60.0
#: for a connection, TLS included; longer, and the request is tried again later, seconds
CONNECT_SECONDS = 20.0


def client(settings: Settings) -> httpx2.AsyncClient:
    """One with no connection yet, for one event loop. Raises `SettingsError` for a variable that can't be used."""
    # Silence is bounded by the engine: the client's own limit is for each read, and a ping would renew it.
    return httpx2.AsyncClient(**_options(settings), timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS))


def blocking_client(settings: Settings, *, silence_seconds: float) -> httpx2.Client:
    """The same for one thread that waits; what sends or takes nothing for so long has failed. Raises `SettingsError`."""
    return httpx2.Client(**_options(settings), timeout=httpx2.Timeout(silence_seconds, connect=CONNECT_SECONDS))


def _options(settings: Settings) -> dict[str, Any]:
    environ = settings.claude_environment
    url = base_url(environ)
    return {
        "base_url": url,
        "headers": _login(environ)
        | {"anthropic-version": VERSION, "user-agent": "claude-nightshift", "accept-encoding": "identity"},
        # Read by ourselves, from what a Claude process would get: the client's own reading takes more of the environment.
        "trust_env": False,
        "proxy": proxy_of(url, environ),
        "verify": _trusted(url, environ),
        "limits": httpx2.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=KEEP_SECONDS),
    }


def base_url(environ: Mapping[str, str]) -> httpx2.URL:
    """Where the API is. Raises `SettingsError`."""
    text = environ.get("ANTHROPIC_BASE_URL") or API
    return _url("ANTHROPIC_BASE_URL", text, f"no address such as {API}")


def _url(variable: str, text: str, fault: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise SettingsError(f"{variable}={text!r} is {fault}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"{variable}={text!r} is {fault}.")
    return url


def _login(environ: Mapping[str, str]) -> dict[str, str]:
    """As Claude's CLI sends it: a bearer token, which goes before a key, or a key."""
    for variable, header, prefix in (
        ("ANTHROPIC_AUTH_TOKEN", "authorization", "Bearer "),
        ("ANTHROPIC_API_KEY", "x-api-key", ""),
    ):
        if secret := environ.get(variable):
            if not re.fullmatch(r"[!-~]+", secret):
                raise SettingsError(f"{variable} has a space, a line break or a letter that no secret of the API has.")
            return {header: prefix + secret}
    raise SettingsError("NIGHTSHIFT_WAYS=api needs ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN), and neither is set.")


def proxy_of(url: httpx2.URL, environ: Mapping[str, str]) -> httpx2.Proxy | None:
    """The proxy on the way to `url`; None: none, or `NO_PROXY` names its host. Raises `SettingsError`."""

    def value(name: str) -> str:
        return environ.get(name.lower()) or environ.get(name, "")

    variable = f"{url.scheme.upper()}_PROXY"
    proxy = value(variable)
    if not proxy or _is_bypassed(url.host, value("NO_PROXY")):
        return None
    text = proxy if "://" in proxy else f"http://{proxy}"
    return httpx2.Proxy(_url(variable, text, "no address of an HTTP proxy, such as http://127.0.0.1:3128"))


def _is_bypassed(host: str, no_proxy: str) -> bool:
    # Of the standard library, and what `requests` leans on; typeshed does not know it.
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    return bool(bypass(host, {"no": no_proxy}))


def _trusted(url: httpx2.URL, environ: Mapping[str, str]) -> ssl.SSLContext:
    """The system's authorities (or `SSL_CERT_FILE`), and `NODE_EXTRA_CA_CERTS` besides, as Claude's CLI takes it."""
    if url.scheme == "http":
        # None at all, which would be megabytes for nothing.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    variable, path = "SSL_CERT_FILE", environ.get("SSL_CERT_FILE")
    try:
        context = ssl.create_default_context(cafile=path) if path else httpx2.create_ssl_context(trust_env=False)
        variable, path = "NODE_EXTRA_CA_CERTS", environ.get("NODE_EXTRA_CA_CERTS")
        if path:
            context.load_verify_locations(path)
    except OSError as error:
        raise SettingsError(f"{variable}={path!r} can't be read: {error}.") from error
    return context
