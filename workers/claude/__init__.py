"""Claude's CLI: an engine for workers, and the invoker under it, which takes a profile and a prompt.

>>> with ClaudeInvoker.from_environment() as claude:
...     print(claude.ask("Say hello").text)

Names are imported when they are asked for: a worker of another way sweeps away what dead Claude processes left, and must
not pay 37 MB for the SDK.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.messages.failure import FailureKind, TurnFailed
    from workers.claude.dialect import CliRequest, to_cli
    from workers.claude.engine import CliEngine
    from workers.claude.invoker import ClaudeInvoker
    from workers.claude.private_dir import end_leftovers
    from workers.claude.profile import Profile, Prompt

_MODULES = {
    "ClaudeInvoker": "workers.claude.invoker",
    "CliEngine": "workers.claude.engine",
    "CliRequest": "workers.claude.dialect",
    "FailureKind": "app.messages.failure",
    "Profile": "workers.claude.profile",
    "Prompt": "workers.claude.profile",
    "TurnFailed": "app.messages.failure",
    "end_leftovers": "workers.claude.private_dir",
    "to_cli": "workers.claude.dialect",
}

__all__ = [
    "ClaudeInvoker",
    "CliEngine",
    "CliRequest",
    "FailureKind",
    "Profile",
    "Prompt",
    "TurnFailed",
    "end_leftovers",
    "to_cli",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(name)
    return getattr(import_module(_MODULES[name]), name)
