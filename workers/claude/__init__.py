"""Claude as a worker sees it: a profile and a prompt go in, an answer or a typed failure comes out.

>>> with ClaudeInvoker.from_environment() as claude:
...     print(claude.ask("Say hello").text)
"""

from workers.claude.answer import Answer, CallDelta, Delta, TextDelta, ToolCall, add_usage
from workers.claude.failures import FailureKind, TurnFailed
from workers.claude.invoker import ClaudeInvoker
from workers.claude.private_dir import end_leftovers
from workers.claude.profile import Profile, Prompt
from workers.claude.status import InvokerStatus, Restart
from workers.claude.turn import SCHEMA_TOOL, TOOL_PREFIX
from workers.claude.windows import Window

__all__ = [
    "SCHEMA_TOOL",
    "TOOL_PREFIX",
    "Answer",
    "CallDelta",
    "ClaudeInvoker",
    "Delta",
    "FailureKind",
    "InvokerStatus",
    "Profile",
    "Prompt",
    "Restart",
    "TextDelta",
    "ToolCall",
    "TurnFailed",
    "Window",
    "add_usage",
    "end_leftovers",
]
