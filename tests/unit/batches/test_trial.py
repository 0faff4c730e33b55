"""Which lines are tried: some of each length, from all over the file."""

from __future__ import annotations

import random

import pytest

from app.batches.lines import ByteSpan, index_entry
from app.batches.trial import chosen, chosen_first


def test_each_part_by_length_has_one() -> None:
    lengths = [100] * 90 + [5_000] * 10
    random.Random(1).shuffle(lengths)
    found = chosen(lengths, 10)
    assert sorted(lengths[number] for number in found) == [100] * 9 + [5_000]


def test_they_come_from_all_over_the_file() -> None:
    found = chosen([100] * 1_000, 20)
    assert len(set(found)) == 20
    for quarter in range(4):
        assert sum(quarter * 250 <= number < (quarter + 1) * 250 for number in found) >= 3


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_they_are_as_many_as_were_asked_for_and_the_same_each_time(count: int) -> None:
    lengths = [random.Random(seed).randrange(10, 10_000) for seed in range(50)]
    found = chosen(lengths, count)
    assert len(set(found)) == count
    assert found == sorted(found) == chosen(lengths, count)


def test_of_fewer_lines_all_are_tried() -> None:
    assert chosen([5, 6, 7], 20) == [0, 1, 2]


def test_the_index_begins_with_them_and_loses_no_line() -> None:
    spans = [index_entry(ByteSpan(number + 1, 100 * number, 10 + number % 7)) for number in range(30)]
    found = chosen_first(b"".join(spans), 4)
    entries = [found[at : at + 16] for at in range(0, len(found), 16)]
    assert sorted(entries) == sorted(spans)
    tried = chosen([10 + number % 7 for number in range(30)], 4)
    assert entries[:4] == [spans[number] for number in tried]
    assert entries[4:] == [span for number, span in enumerate(spans) if number not in tried]
