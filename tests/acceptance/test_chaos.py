"""Half a minute of `scripts/chaos`, or until each kind of fault could come once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chaos import faults, redis_wire, table
from chaos.lossy import Kind
from chaos.run import run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def directory() -> Iterator[Path]:
    """Of a short name: a socket's path may have 108 bytes."""
    made = Path(tempfile.mkdtemp(prefix="nightshift-chaos-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_each_fault_of_chaos(directory: Path) -> None:
    """Whatever is killed, put to sleep, cut, or lost on its way to Redis, each accepted request has one outcome, and nothing is left behind."""
    report = run(directory, seconds=30, at_least=len(faults.names()) // 2, seed=20260722, batch_lines=100)
    assert report.findings.are_clean, table.text(report)
    assert sum(report.times[name] for name in faults.names()) >= len(faults.names()) // 2
    assert any(report.times[redis_wire.name(kind)] for kind in Kind)


def test_the_same_seed_gives_the_same_faults() -> None:
    """A run can be had again: faults and their order hang on the seed alone, and the first ones are all there are."""
    first, again = faults.drawn(7), faults.drawn(7)
    found = [next(first) for _ in range(100)]
    assert found == [next(again) for _ in range(100)]
    assert {fault.name for fault in found[: len(faults.names())]} == set(faults.names())
