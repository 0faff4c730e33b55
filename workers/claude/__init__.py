"""Claude as a worker sees it: a profile and a prompt go in, an answer or a typed failure comes out.

>>> with ClaudeInvoker.from_environment() as claude:
...     print(claude.ask("Say hello").text)
"""

from workers.claude.dialect import CliRequest, to_cli
from workers.claude.failures import FailureKind, TurnFailed
from workers.claude.invoker import ClaudeInvoker
from workers.claude.private_dir import end_leftovers
from workers.claude.profile import Profile, Prompt
from workers.claude.status import InvokerStatus, Restart

__all__ = [
    "ClaudeInvoker",
    "CliRequest",
    "FailureKind",
    "InvokerStatus",
    "Profile",
    "Prompt",
    "Restart",
    "TurnFailed",
    "end_leftovers",
    "to_cli",
]
