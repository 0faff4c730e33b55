"""Imports nothing. BROKEN_PRELOAD: it can't."""

import os

if os.environ.get("BROKEN_PRELOAD"):
    raise ImportError("this preload is broken")
