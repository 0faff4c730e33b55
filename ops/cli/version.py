"""`nightshift version`."""

from __future__ import annotations

import platform
from importlib import metadata


def version() -> int:
    """Print them, one a line."""
    print(f"nightshift {metadata.version('claude-nightshift')}")
    for name in ("claude-agent-sdk", "rq", "redis"):
        print(f"{name} {metadata.version(name)}")
    print(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    return 0
