"""NIGHTSHIFT_WAYS: what it takes, what is refused, and what each way needs."""

from __future__ import annotations

from typing import Any

import pytest

from app import environment
from app.login import engine_settings, login_in_use
from app.settings import Settings, SettingsError
from app.ways import Cap, Step, Way
from ops.cli import options
from workers.messages_api.client import base_url, client, proxy_of

KEY = {"ANTHROPIC_API_KEY": "key-for-tests"}
SUBSCRIPTION = {"CLAUDE_CODE_OAUTH_TOKEN": "token-for-tests"}
CAPS = "nor a cap such as 20usd/day or 300usd/month."


def settings(**environ: str) -> Settings:
    return Settings.from_environment({"NIGHTSHIFT_DATA_DIR": "/d", "CLAUDE_CONFIG_DIR": "/nowhere", **environ})


def test_the_command_line_is_the_default() -> None:
    """Nobody's installation changes by itself."""
    assert settings().way is Way.CLI


def test_children_read_the_same_way() -> None:
    """What a supervisor gives its workers names the way as its user did."""
    found = settings(NIGHTSHIFT_WAYS="api")
    assert settings(**found.to_environment()).ways == found.ways == (Step(Way.API),)


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ("api", [Step(Way.API)]),
        (" cli:subscription , batches,api ", [Step(Way.CLI, "subscription"), Step(Way.BATCHES), Step(Way.API)]),
        ("cli,api:20usd/day", [Step(Way.CLI), Step(Way.API, cap=Cap(20, "day"))]),
        ("api:auth_token:0.5usd/month", [Step(Way.API, "auth_token", Cap(0.5, "month"))]),
        ("cli: bedrock: 1000000usd/month", [Step(Way.CLI, "bedrock", Cap(1000000, "month"))]),
    ],
)
def test_a_ladder_is_read_and_spelled(value: str, steps: list[Step]) -> None:
    """Ways in their order, each with its login and its cap; what is spelled is read as the same."""
    found = settings(NIGHTSHIFT_WAYS=value)
    assert list(found.ways) == steps
    assert settings(**found.to_environment()).ways == found.ways


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("carrier-pigeon", "names `carrier-pigeon`, which is no way; it takes cli, api or batches."),
        ("API", "names `API`, which is no way; it takes cli, api or batches."),
        ("api,api", "names `api` twice."),
        ("api:api_key,api:auth_token", "names `api` twice."),
        (",", "names no way; it takes cli, api or batches."),
        ("batches", "names `batches` alone, which takes lines of batches only; add `api` or `cli` behind it."),
        ("cli:subscription:api_key", "gives `cli` two logins, `subscription` and `api_key`; it takes one."),
        ("api:1usd/day:2usd/month", "gives `api` two caps."),
        ("api:0usd/day", "caps `api` at nothing; leave it out."),
        (
            "cli:subscription:5usd/day",
            "caps `cli:subscription`, whose requests cost nothing; a cap is for what is paid by use.",
        ),
        *(
            (
                f"api:{part}",
                f"says `{part}` of `api`, which is neither a login that it takes (api_key or auth_token) {CAPS}",
            )
            for part in (
                "subscription",
                "bedrock",
                "usd/day",
                "-5usd/day",
                "5",
                "5usd",
                "5usd/week",
                "infusd/day",
                "$5/day",
            )
        ),
    ],
)
def test_what_is_no_ladder_is_refused(value: str, words: str) -> None:
    """With the setting's name and what it takes."""
    with pytest.raises(SettingsError) as caught:
        settings(NIGHTSHIFT_WAYS=value)
    assert str(caught.value) == f"NIGHTSHIFT_WAYS {words}"


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


@pytest.mark.parametrize(
    ("ways", "environ", "words"),
    [
        ("cli,api", {}, "names `cli`, and there is no login for it: set CLAUDE_CODE_OAUTH_TOKEN"),
        ("cli,api", SUBSCRIPTION, "names `api`, and there is no login for it: set ANTHROPIC_API_KEY; or"),
        (
            "api,cli:subscription",
            KEY,
            "names `cli:subscription`, and that login is not there: set CLAUDE_CODE_OAUTH_TOKEN",
        ),
        ("cli:api_key", SUBSCRIPTION, "names `cli:api_key`, and that login is not there: set ANTHROPIC_API_KEY."),
        ("api:auth_token", KEY, "names `api:auth_token`, and that login is not there: set ANTHROPIC_AUTH_TOKEN"),
        ("cli:20usd/day", SUBSCRIPTION, "caps `cli`, whose login is a subscription here: its requests cost nothing"),
        ("cli:bedrock", KEY, "names `cli:bedrock`, and that login is not there: set CLAUDE_CODE_USE_BEDROCK"),
        (
            "cli:subscription,batches,api",
            SUBSCRIPTION,
            "names `batches`, and there is no login for it: set ANTHROPIC_API_KEY",
        ),
        (
            "cli,api",
            KEY | SUBSCRIPTION,
            "names `cli` beside other ways, and there are several logins for it: write `cli:api_key` or `cli:subscription`.",
        ),
    ],
)
def test_a_way_without_its_login_is_refused(ways: str, environ: dict[str, str], words: str) -> None:
    """The refusal names the variable; of several logins the ladder has to name one."""
    with pytest.raises(SettingsError) as caught:
        options.require_login(settings(NIGHTSHIFT_WAYS=ways, **environ))
    assert str(caught.value).startswith(f"NIGHTSHIFT_WAYS {words}")


def test_each_way_sees_its_own_login_only() -> None:
    """A Claude process for a subscription never sees the key, which it would use first; the API's engine sees nothing else."""
    found = settings(NIGHTSHIFT_WAYS="cli:subscription,api", HTTPS_PROXY="http://p:1", **KEY, **SUBSCRIPTION)
    assert options.require_login(found) is not None
    cli, api = (engine_settings(found, step) for step in found.ways)
    assert dict(cli.claude_environment) == {**SUBSCRIPTION, "HTTPS_PROXY": "http://p:1"}
    assert dict(api.claude_environment) == {**KEY, "HTTPS_PROXY": "http://p:1"}
    kinds = [login.kind if (login := login_in_use(one)) else None for one in (cli, api)]
    assert kinds == ["oauth_token", "api_key"]


def test_offline_plays_a_login_for_each_way() -> None:
    """A ladder is tried without any login."""
    environ = {"NIGHTSHIFT_OFFLINE": "1", "NIGHTSHIFT_OFFLINE_LOGIN": "subscription"}
    found = settings(NIGHTSHIFT_WAYS="cli,api:5usd/day", **environ)
    assert environment.spell(found.ways) == "cli:subscription,api:api_key:5usd/day"
    with pytest.raises(SettingsError, match="names `cli:bedrock`; --offline plays api_key for it"):
        settings(NIGHTSHIFT_WAYS="cli:bedrock,api", **environ)


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
