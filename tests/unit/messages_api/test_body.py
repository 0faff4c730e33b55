"""What of a body depends on the user's variables; the rest is held against Claude's CLI in tests/integration/messages_api."""

from __future__ import annotations

import pytest

from app.messages import to_claude
from workers.messages_api.body import betas_of, body_of
from workers.models import aliases_of


@pytest.mark.parametrize(
    ("model", "environ", "expected"),
    [
        ("sonnet", {}, "claude-sonnet-5-5"),
        ("sonnet", {"ANTHROPIC_DEFAULT_SONNET_MODEL": "my-sonnet"}, "my-sonnet"),
        ("opus", {"ANTHROPIC_DEFAULT_SONNET_MODEL": "my-sonnet"}, "claude-opus-5-5"),
        ("haiku", {"ANTHROPIC_DEFAULT_HAIKU_MODEL": ""}, "claude-haiku-5-5"),
        ("sonnet[1m]", {}, "claude-sonnet-5-5"),
        ("claude-any-1", {"ANTHROPIC_DEFAULT_SONNET_MODEL": "my-sonnet"}, "claude-any-1"),
    ],
)
def test_an_alias_is_the_model_that_the_user_has_named(model: str, environ: dict[str, str], expected: str) -> None:
    """By the variables that Claude's command line reads; any other name is passed on."""
    asked = to_claude(
        {"claude_model": model, "request": {"model": model, "messages": [{"role": "user", "content": "x"}]}}
    )
    body = body_of(asked, aliases_of(environ))
    assert body["model"] == expected
    assert ("anthropic-beta" in betas_of(asked, body)) == model.endswith("[1m]")
