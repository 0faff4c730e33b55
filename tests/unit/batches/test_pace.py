"""Where the line leads that `NIGHTSHIFT_PACE` keeps lines on."""

from __future__ import annotations

import pytest

from app.batches.pace import Beginning

#: of a window of which a fifth was used when the first line was due
LINE = Beginning(1000.0, 0.2, 5000.0)


@pytest.mark.parametrize(
    ("used", "share", "due"),
    [
        (0.1, 1.0, 1000.0),
        (0.2, 1.0, 1000.0),
        (0.4, 1.0, 2000.0),
        (0.4, 0.6, 3000.0),
        (0.6, 0.6, 5000.0),
        (0.9, 0.6, 5000.0),
        (1.0, 1.0, 5000.0),
        (0.3, 0.1, 5000.0),
    ],
)
def test_a_use_is_due_when_the_line_comes_to_it(used: float, share: float, due: float) -> None:
    """Straight from the beginning to the share that may be used, at the reset; beyond that at the reset alone."""
    assert LINE.reaches(used, share) == pytest.approx(due)
