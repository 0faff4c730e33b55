"""Why a start is not possible. The message is for the person at the terminal: what is wrong, and what to do."""

from __future__ import annotations


class StackError(Exception):
    """Nightshift can't start or go on. The message is shown as it is, without a traceback."""


class Stopped(Exception):
    """A signal to stop came while processes were being started."""
