"""NIGHTSHIFT_WAYS: what it takes, what is refused, and what each way needs."""

from __future__ import annotations

from typing import Any

import pytest

from app.login import login_in_use
from app.settings import Settings, SettingsError
from app.ways import Way
from ops.cli import options
from workers.messages_api.client import base_url, client, proxy_of

KEY = {"ANTHROPIC_API_KEY": "key-for-tests"}


def settings(**environ: str) -> Settings:
    return Settings.from_environment({"NIGHTSHIFT_DATA_DIR": "/d", "CLAUDE_CONFIG_DIR": "/nowhere", **environ})


def test_the_command_line_is_the_default() -> None:
    """Nobody's installation changes by itself."""
    assert settings().way is Way.CLI


def test_children_read_the_same_way() -> None:
    """What a supervisor gives its workers names the way as its user did."""
    found = settings(NIGHTSHIFT_WAYS="api")
    assert settings(**found.to_environment()).ways == found.ways == (Way.API,)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("carrier-pigeon", "NIGHTSHIFT_WAYS names `carrier-pigeon`, which is no way; it takes cli or api."),
        ("API", "NIGHTSHIFT_WAYS names `API`, which is no way; it takes cli or api."),
        ("batches", "NIGHTSHIFT_WAYS names `batches`, which is not there yet; it takes cli or api."),
        ("api, batches", "NIGHTSHIFT_WAYS names `batches`, which is not there yet; it takes cli or api."),
        ("api,api", "NIGHTSHIFT_WAYS names a way twice."),
        ("cli, api", "NIGHTSHIFT_WAYS names 2 ways; it takes one for now, cli or api."),
        (",", "NIGHTSHIFT_WAYS names no way; it takes cli or api."),
    ],
)
def test_what_is_no_way_is_refused(value: str, words: str) -> None:
    """With the setting's name and what it takes."""
    with pytest.raises(SettingsError) as caught:
        settings(NIGHTSHIFT_WAYS=value)
    assert str(caught.value) == words


@pytest.mark.parametrize(
    "environ", [{}, {"CLAUDE_CODE_OAUTH_TOKEN": "t"}, {"CLAUDE_CODE_USE_BEDROCK": "1"}, {"ANTHROPIC_API_KEY": ""}]
)
def test_the_api_without_a_key_is_refused(environ: dict[str, str]) -> None:
    """The refusal names the variable; a subscription's token or a cloud provider is no key."""
    with pytest.raises(SettingsError, match="ANTHROPIC_API_KEY"):
        options.require_login(settings(NIGHTSHIFT_WAYS="api", **environ))


def test_a_simulated_subscription_is_no_key() -> None:
    """`--offline` that plays a subscription has none for the API."""
    with pytest.raises(SettingsError, match="NIGHTSHIFT_OFFLINE_LOGIN=subscription"):
        settings(NIGHTSHIFT_WAYS="api", NIGHTSHIFT_OFFLINE="1", NIGHTSHIFT_OFFLINE_LOGIN="subscription")


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        (KEY, "api_key"),
        (KEY | {"ANTHROPIC_AUTH_TOKEN": "t"}, "auth_token"),
        (KEY | {"CLAUDE_CODE_USE_BEDROCK": "1"}, "api_key"),
        (KEY | {"CLAUDE_CODE_OAUTH_TOKEN": "t"}, "api_key"),
    ],
)
def test_the_api_uses_a_key_or_a_bearer_token(environ: dict[str, str], kind: str) -> None:
    """Whatever else the command line could use."""
    login = login_in_use(settings(NIGHTSHIFT_WAYS="api", **environ))
    assert login is not None
    assert login.kind == kind


def client_of(**environ: Any) -> Any:
    return client(settings(NIGHTSHIFT_WAYS="api", **(KEY | environ)))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANTHROPIC_BASE_URL", "api.example.com"),
        ("ANTHROPIC_BASE_URL", "ftp://api.example.com"),
        ("ANTHROPIC_BASE_URL", "http://"),
        ("ANTHROPIC_BASE_URL", "http://a:port"),
        ("HTTPS_PROXY", "gopher://proxy.example.com"),
        ("HTTPS_PROXY", "http://a:port"),
        ("HTTPS_PROXY", "socks5://proxy.example.com"),
        ("SSL_CERT_FILE", "/nowhere/at-all.pem"),
        ("NODE_EXTRA_CA_CERTS", "/nowhere/at-all.pem"),
        ("ANTHROPIC_API_KEY", "key\nwith a line"),
        ("ANTHROPIC_API_KEY", "ключ"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    """Before the first request, and without showing a key."""
    with pytest.raises(SettingsError) as caught:
        client_of(**{variable: value})
    assert variable in str(caught.value)
    assert variable != "ANTHROPIC_API_KEY" or value not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "proxies"),
    [
        ({}, []),
        ({"HTTPS_PROXY": "http://p:1"}, ["http://p:1"]),
        ({"https_proxy": "p:1"}, ["http://p:1"]),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.example, api.anthropic.com"}, []),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, []),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, ["http://p:1"]),
        ({"HTTP_PROXY": "http://p:1"}, []),
        ({"ALL_PROXY": "socks5://p:1"}, []),
    ],
)
def test_the_proxy_is_the_one_that_a_claude_process_would_take(environ: dict[str, str], proxies: list[str]) -> None:
    """`HTTPS_PROXY` for an https address, and none for hosts that `NO_PROXY` names."""
    found = settings(NIGHTSHIFT_WAYS="api", **KEY, **environ).claude_environment
    proxy = proxy_of(base_url(found), found)
    assert ([] if proxy is None else [str(proxy.url)]) == proxies
