"""The bytes of a batch's results, with the faults that a rule puts into them."""

from collections.abc import Iterator

from simulator.batch_spec import BatchSpec
from simulator.batches.batch import Batch

#: Bytes of one write, about.
_WRITE_BYTES = 64 * 1024


def result_bytes(batch: Batch, spec: BatchSpec) -> Iterator[bytes]:
    """Yield the results as JSON lines, in pieces of about 64 KiB."""
    pieces: list[bytes] = []
    size = 0
    for line in _lines(batch, spec):
        pieces.append(line)
        size += len(line)
        if size >= _WRITE_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)


def is_broken(spec: BatchSpec) -> bool:
    """Whether the connection is closed in the middle of the results."""
    return spec.cut_after_lines is not None and not spec.cut_in_order


def _lines(batch: Batch, spec: BatchSpec) -> Iterator[bytes]:
    count = len(batch.custom_ids) - spec.left_out
    for number, line in enumerate(batch.result_lines()):
        if number >= count:
            return
        if number == spec.cut_after_lines:
            yield line[: len(line) // 2]
            return
        if number == spec.broken_line:
            yield line[: len(line) // 2] + b"\n"
            continue
        is_last = number == count - 1
        yield line if is_last and spec.unterminated else line + b"\n"
        if number == spec.doubled_line:
            yield line + b"\n"
