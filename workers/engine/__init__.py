"""A way to Claude as a worker sees it: a Messages API request goes in, an answer or a `TurnFailed` with its kind comes out.

This package has the protocol and what an engine says of itself. An implementation is a package beside it: `workers/claude`
has the one that drives Claude's CLI.
"""

from workers.engine.protocol import Engine
from workers.engine.status import EngineStatus, Recycle

__all__ = ["Engine", "EngineStatus", "Recycle"]
