"""Why Claude processes are recycled: the words of logs, metrics, history and reports."""

from __future__ import annotations

from enum import StrEnum


class RecycleReason(StrEnum):
    """Why a Claude process was replaced by another, or ended."""

    CLOSED = "closed"
    #: its answer was cut here
    CUT = "cut"
    DIED = "died"
    GARBLED = "garbled"
    IDLE = "idle"
    LOGIN = "login"
    #: it did not end its turn when it was interrupted
    NOT_DRAINED = "not_drained"
    #: it did not take a request
    NOT_SENT = "not_sent"
    #: it was not ready in time, and never used
    NOT_STARTED = "not_started"
    #: another profile was asked for
    PROFILE = "profile"
    REPEATED = "repeated"
    RESET_FAILED = "reset_failed"
    #: past `max_rss_mb`, and past `hard_rss_mb`
    RSS = "rss"
    RSS_HARD = "rss_hard"
    SCHEMA_REFUSED = "schema_refused"
    #: a message that belongs to no turn
    STRAY = "stray"
    TURNS = "turns"
    #: counted for what a worker of another version says
    OTHER = "other"
