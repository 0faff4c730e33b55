"""Which lines of a batch are tried first: some of each length, from all over the file, so that they stand for the others.

The lines are sorted by length and cut into as many equal parts as there are lines to try; of each part one is chosen, whose place in the
file is far from the others'. Each chosen line stands for as many others, which makes the forecast (`report.forecast`) a plain sum.
The index of the lines (`app.batches.lines`) begins with the chosen ones, so that they have the first numbers.
"""

from __future__ import annotations

from app.batches.lines import SPAN_BYTES, length_of


def chosen_first(index: bytes, count: int) -> bytes:
    """The index of a batch's lines in another order: those that are tried, then the others in that of the file."""
    spans = [index[at : at + SPAN_BYTES] for at in range(0, len(index), SPAN_BYTES)]
    first = chosen([length_of(span) for span in spans], count)
    rest = set(first)
    return b"".join([*(spans[one] for one in first), *(span for one, span in enumerate(spans) if one not in rest)])


def chosen(lengths: list[int], count: int) -> list[int]:
    """The numbers of the lines to try, in the file's order; all, where there are no more. `lengths`: of each line, bytes."""
    if count >= len(lengths):
        return list(range(len(lengths)))
    by_length = sorted(range(len(lengths)), key=lambda number: lengths[number])
    found = []
    for part in range(count):
        begin, end = part * len(lengths) // count, (part + 1) * len(lengths) // count
        # Places in the file that are spread evenly, in an order that has nothing to do with the lengths.
        wanted = _spread(part + 1) * len(lengths)
        found.append(min(by_length[begin:end], key=lambda number: abs(number - wanted)))
    return sorted(found)


def _spread(number: int) -> float:
    """The van der Corput sequence: 1/2, 1/4, 3/4, 1/8, ..."""
    found, weight = 0.0, 0.5
    while number:
        found += weight * (number % 2)
        number, weight = number // 2, weight / 2
    return found
