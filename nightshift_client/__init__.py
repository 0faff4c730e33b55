"""Nightshift's client for Python: a table of questions in, the table with its answers out.

from nightshift_client import Nightshift

night = Nightshift()
batch = night.submit("reviews.csv", "Is this review kind? {text}", model="haiku")
night.watch(batch)
rows = night.results(batch)
"""

from nightshift_client.aio import AsyncNightshift
from nightshift_client.batch import Batch
from nightshift_client.client import Nightshift
from nightshift_client.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BatchFailed,
    BatchHeld,
    BatchNotEnded,
    ConflictError,
    InternalServerError,
    NightshiftError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    TableError,
)
from nightshift_client.flows import BatchOptions

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "AsyncNightshift",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchFailed",
    "BatchHeld",
    "BatchNotEnded",
    "BatchOptions",
    "ConflictError",
    "InternalServerError",
    "Nightshift",
    "NightshiftError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "TableError",
]
