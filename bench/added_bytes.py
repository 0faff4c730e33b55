"""What reaches the model beside what the client sent, read in the simulator's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.settings import Settings
from bench.children import BareChild
from bench.figures import AddedBytes
from bench.sizes import PROMPT
from simulator.process import running_simulator
from workers.claude import ClaudeInvoker, Profile

if TYPE_CHECKING:
    from pathlib import Path

    from simulator.client import SimulatorControl

_SYSTEM = "You are terse."
_LOGINS = {
    "API key": {"ANTHROPIC_API_KEY": "offline-no-real-key"},
    "subscription": {"CLAUDE_CODE_OAUTH_TOKEN": "offline-no-real-token"},
}
#: the first finds a new process, the others one that was wiped
_TURNS = 3


def measure(directory: Path) -> list[AddedBytes]:
    """Each login in each isolation, and the public way to wipe beside them."""
    found = []
    with running_simulator() as simulator:
        for login, variables in _LOGINS.items():
            for isolation in ("reset", "process"):
                environ = {"PATH": "/usr/bin:/bin", "ANTHROPIC_BASE_URL": simulator.base_url, **variables}
                _ask(environ, directory / f"{login}-{isolation}".replace(" ", "-"), isolation)
                found.append(_most(simulator.control, f"Nightshift, {isolation}", login, _SYSTEM))
        child = BareChild(directory / "clear", simulator.base_url, "clear")
        try:
            child.receive()
            child.ask(do="turns", count=_TURNS, pause_ms=0)
        finally:
            child.close()
        found.append(_most(simulator.control, "SDK alone, /clear", "API key", ""))
    return found


def _ask(environ: dict[str, str], directory: Path, isolation: str) -> None:
    settings = Settings.from_environment(
        environ, data_dir=directory, claude_home=directory / "nobody", isolation=isolation
    )
    with ClaudeInvoker(settings, profile=Profile(system=_SYSTEM)) as claude:
        for _ in range(_TURNS):
            claude.ask(PROMPT, timeout_seconds=60)
            claude.wait_until_idle(60)


def _most(control: SimulatorControl, way: str, login: str, system: str) -> AddedBytes:
    """The largest of the requests since the last look."""
    bodies = [entry["body"] for entry in control.requests(PROMPT)]
    control.clear_requests()
    return AddedBytes(
        way,
        login,
        max(_size(body.get("system", "")) for body in bodies) - len(system),
        max(sum(_size(message["content"]) for message in body["messages"]) for body in bodies) - len(PROMPT),
    )


def _size(content: Any) -> int:
    """Bytes of text in a content."""
    if isinstance(content, str):
        return len(content.encode())
    return sum(len(str(block.get("text", "")).encode()) for block in content)
