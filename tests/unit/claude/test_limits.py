"""When a Claude process is recycled or ended: what the settings may say, and what a process draws."""

from __future__ import annotations

import pytest

from app.settings import Settings, SettingsError
from workers.claude.watch import Limits


@pytest.mark.parametrize(
    "environ",
    [{"NIGHTSHIFT_HARD_RSS_MB": "100"}, {"NIGHTSHIFT_WARM_PROCESSES": "0"}],
)
def test_settings_that_no_worker_could_keep_are_refused(environ: dict[str, str]) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsError, match=next(iter(environ))):
        Settings.from_environment(environ)


def test_limits_are_spread_a_little() -> None:
    """So that workers that began together are not recycled together."""
    drawn = {Limits.draw(Settings(max_turns=1000)).turns for _ in range(50)}
    assert len(drawn) > 1
    assert min(drawn) >= 900
    assert max(drawn) <= 1100
