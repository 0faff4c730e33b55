"""On what was measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("claude-nightshift", "claude-agent-sdk", "rq", "redis", "flask", "gunicorn")


def describe(health: dict[str, Any]) -> dict[str, str]:
    """Machine and versions; nothing that tells whose machine it is."""
    rows = health.get("workers") or [{}]
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "python": sys.version.split()[0],
        "claude": str(rows[0].get("cli_version", "")),
        "redis server": str(health.get("redis", {}).get("version", "")),
        **{name: version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
