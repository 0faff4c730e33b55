"""What the endpoints work with: made once in `create_app`, found again from any request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from redis import Redis

    from api.waiting import Waiting
    from app.batches.store import Batches
    from app.jobs.store import Jobs
    from app.settings import Settings

EXTENSION = "nightshift"


@dataclass(frozen=True)
class Services:
    """One per application. All of it may be used by any number of threads."""

    settings: Settings
    connection: Redis
    jobs: Jobs
    waiting: Waiting
    batches: Batches


def current_services() -> Services:
    """The running application's."""
    return cast("Services", current_app.extensions[EXTENSION])
