"""Room on the disk that the data dir is on."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def free_bytes(data_dir: Path) -> int | None:
    """What may still be written there; None where it can't be seen from here."""
    for path in (data_dir, *data_dir.parents):
        try:
            return shutil.disk_usage(path).free
        except FileNotFoundError:
            continue
        except OSError:
            break
    return None
