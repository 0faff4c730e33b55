"""Which processes are started, by the settings alone."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest

from app.settings import Settings
from app.ways import Step, Way
from ops.supervisor import process_specs

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"ANTHROPIC_API_KEY": "k"}
BATCHES = (Step(Way.BATCHES), Step(Way.API))


@pytest.mark.parametrize(("ways", "login", "count"), [(BATCHES, KEY, 1), (BATCHES, {}, 0), ((Step(Way.API),), KEY, 0)])
def test_a_lane_is_started_where_its_way_is_on_and_has_a_login(
    ways: tuple[Step, ...], login: dict[str, str], count: int, tmp_path: Path
) -> None:
    """Nowhere else: a supervisor without a key, which does the batches' other work, has none."""
    settings = Settings(
        data_dir=tmp_path, ways=ways, claude_environment=MappingProxyType(login), claude_home=tmp_path / "nobody"
    )
    assert len(process_specs.lane(settings, {})) == count
