"""The guard for URLs that others chose: what may be connected to, and a client that connects to nothing else.

`check_url` at the door says no with a reason; `OutboundClient.request` takes only what `check_url` has returned and
connects to the very addresses in it. There is no way from a host name to a socket that skips the check.
"""

from app.outbound.addresses import forbidden_reason
from app.outbound.client import OutboundClient, OutboundError, Reply
from app.outbound.resolver import Resolver, resolve, system_resolver
from app.outbound.target import CheckedTarget, ForbiddenTarget, UnresolvedTarget, check_url

__all__ = [
    "CheckedTarget",
    "ForbiddenTarget",
    "OutboundClient",
    "OutboundError",
    "Reply",
    "Resolver",
    "UnresolvedTarget",
    "check_url",
    "forbidden_reason",
    "resolve",
    "system_resolver",
]
