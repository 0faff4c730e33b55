"""Claude's CLI: an engine for workers, and the invoker under it, which takes a profile and a prompt.

>>> with ClaudeInvoker.from_environment() as claude:
...     print(claude.ask("Say hello").text)
"""

from app.messages.failure import FailureKind, TurnFailed
from workers.claude.dialect import CliRequest, to_cli
from workers.claude.engine import CliEngine
from workers.claude.invoker import ClaudeInvoker
from workers.claude.private_dir import end_leftovers
from workers.claude.profile import Profile, Prompt

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
