"""A feeder and a lane in this process, on a private Redis and directory, before the simulated API."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from app.batches.feeder import Feeder
from app.batches.leadership import Leadership, Role
from app.batches.parts.steps import PartSteps
from app.batches.store import Batches
from app.ways import Step, Way
from tests.integration.batches.conftest import Night
from tests.integration.claude.conftest import settings_for
from tests.redis_server import wait_until
from workers.lane.api import BatchesApi
from workers.lane.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.batches.parts.record import Part
    from app.batches.record import BatchRecord
    from app.settings import Settings
    from simulator.client import SimulatorControl
    from simulator.process import RunningSimulator

#: how long a part that may have been sent is looked for here, seconds
DOUBT_SECONDS = 1.0


@dataclass
class Parts(Night):
    """What a test of parts needs beside the feeder: the lane, and the API that it asks."""

    simulator: SimulatorControl
    leadership: Leadership
    lane: Lane

    def again(self) -> None:
        """Another lane follows one that has died: it knows what Redis and the files say."""
        self.lane = lane_of(self.connection, self.settings, self.leadership)

    def step(self) -> None:
        """Let the lane do what is due."""
        assert self.leadership.hold()
        self.lane.run_once(self.leadership)

    def parts(self, batch: BatchRecord) -> list[Part]:
        return list(PartSteps(self.connection, self.leadership).read(batch.id).by_id.values())

    def until(self, batch: BatchRecord, status: str = "completed") -> BatchRecord:
        """Let both work until the batch has that status."""
        found = [batch]

        def is_so() -> bool:
            self.step()
            found.append(self.look(batch))
            return str(found[-1].status) == status

        wait_until(is_so, f"a batch that is {status}")
        return found[-1]

    def sent(self) -> list[str]:
        """The ids of the requests that the API has taken, in their order."""
        return [one["path"].rpartition("/")[2] for one in self.simulator.requests() if one["kind"] == "batched"]


def lane_of(connection: Redis, settings: Settings, leadership: Leadership) -> Lane:
    steps = PartSteps(connection, leadership)
    return Lane(connection, settings, BatchesApi(settings), steps, doubt_seconds=DOUBT_SECONDS)


@pytest.fixture
def parts(simulator: RunningSimulator, redis_url: str, tmp_path: Path) -> Iterator[Parts]:
    ways: Any = (Step(Way.BATCHES), Step(Way.API))
    settings = replace(settings_for(simulator.base_url, tmp_path, ways=ways), data_dir=tmp_path, redis_url=redis_url)
    with Redis.from_url(redis_url) as connection:
        feeder, batches = Feeder(connection, settings), Batches(connection, settings)
        leadership = Leadership(connection, batches.storage, Role.LANE)
        assert leadership.hold()
        lane = lane_of(connection, settings, leadership)
        yield Parts(connection, settings, batches, feeder, simulator.control, leadership, lane)
        feeder.close()
        leadership.close()
