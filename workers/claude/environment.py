"""The environment and the flags of a Claude process: what its login needs, and nothing else of the host's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.login import CLOUDS, Login, is_default_home

if TYPE_CHECKING:
    from app.settings import Settings
    from workers.claude.profile import Profile

#: What the SDK itself sets for its child; not secret, and needed by both.
SDK_VARIABLES = (
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_AGENT_SDK_VERSION",
    "CLAUDE_CODE_SDK_READS_SESSION_STATE",
)

#: Switches that make the CLI a plain pipe to the model. Each is documented by Anthropic.
SWITCHES = {
    # Retries are the worker's, in one layer, and an error must come with its status.
    "CLAUDE_CODE_MAX_RETRIES": "0",
    # A stream that breaks is otherwise asked for a second time, billed, without a word.
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    # A line of the CLI's own at the start of the system slot.
    "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
    # With it on, the CLI adds messages of its own role "system" to the conversation, and edits the context.
    "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS": "1",
    "DISABLE_AUTOUPDATER": "1",
    # The client's conversation is sent as it is or refused by the API, never summed up.
    "DISABLE_COMPACT": "1",
    # A request for Opus 4.1 gets that model, or an error that says it is gone.
    "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP": "1",
}

#: More than any model can: the CLI takes the model's own maximum then, where it knows the model (docs/cost.md).
MAX_OUTPUT_TOKENS = "1000000"
#: the names that it knows the maximum of; for others, a provider's own, it would guess
_KNOWN_MODEL = re.compile(r"(claude-)?(haiku|sonnet|opus)([-.\d].*)?|claude-\d.*")


@dataclass(frozen=True)
class Surroundings:
    """Where a Claude process lives: its variables, and whether it runs `--bare`."""

    variables: dict[str, str]
    is_bare: bool


def surroundings(settings: Settings, login: Login | None, profile: Profile, private: Path) -> Surroundings:
    """Everything that the process may see. `private` is its own directory, with `home` and `config` in it."""
    variables = dict(settings.claude_environment)
    variables.update(SWITCHES)
    variables["HOME"] = str(private / "home")
    variables["TMPDIR"] = str(private / "tmp")
    variables["CLAUDE_CONFIG_DIR"] = str(private / "config")
    if _KNOWN_MODEL.fullmatch(profile.model):
        variables["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = MAX_OUTPUT_TOKENS
    is_bare = login is None or login.allows_bare
    if is_bare or profile.system is None:
        # What is read again is marked here (`app.messages.request.marked`); the CLI marks each prompt, for nobody.
        variables["DISABLE_PROMPT_CACHING"] = "1"
    else:
        # The system slot is the CLI's own with a subscription. By itself it asks for an hour, at twice the price.
        variables["FORCE_PROMPT_CACHING_5M"] = "1"
    if profile.thinking_tokens is None:
        # `--thinking disabled` alone leaves newer models with adaptive thinking.
        variables["CLAUDE_CODE_DISABLE_THINKING"] = "1"
    kind = login.kind if login else None
    if kind == "claude_home":
        _share_home(variables, settings.claude_home)
    elif kind in CLOUDS:
        # Their credentials are files under the user's home.
        variables["HOME"] = str(Path.home())
    return Surroundings(variables, is_bare=is_bare)


def _share_home(variables: dict[str, str], claude_home: Path) -> None:
    """Use the user's own login where it is: its refresh token rotates, so that a copy would log him out."""
    if is_default_home(claude_home):
        # Named explicitly, even the default directory has another entry in macOS' keychain.
        del variables["CLAUDE_CONFIG_DIR"]
        variables["HOME"] = str(Path.home())
    else:
        variables["CLAUDE_CONFIG_DIR"] = str(claude_home)
