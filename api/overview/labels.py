"""What the page says in words for codes: why a batch waits, and what failures mean."""

from __future__ import annotations

from types import MappingProxyType

from app.error_codes import ErrorCode, ErrorType

#: `nightshift.waiting_for` of a batch object
WAITS = MappingProxyType(
    {
        "usage_limit": "waits for the usage limit",
        "utilization": "leaves the rest of Claude's window to you",
        "spending_cap": "waits: its cap on spending is reached",
        "login": "waits for a login",
        "overload": "waits: Claude is overloaded",
        "rate_limit": "waits: Claude takes no more requests for now",
        "paused": "paused",
        "batch_window": "waits for its window",
        "reserve": "waits for a worker beyond the reserve",
        "no_feeder": "nobody does its work",
        "files_elsewhere": "its files are on another machine",
        "files_unusable": "its files can't be used",
    }
)
#: the failures' meanings, beside their codes
FAILURES = MappingProxyType(
    {str(code): code.meaning for code in ErrorCode} | {str(ErrorType.INVALID_REQUEST): "Claude refused the request"}
)
