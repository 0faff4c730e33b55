"""What is where in a storage. A name is a folder and a name in it; on a disk they are just that."""

from __future__ import annotations

#: before the id of a file of which nobody knows whether Redis knows it
DOUBT = "files/.doubt-"


def stored_file(file_id: str) -> str:
    """An uploaded file, or a batch's output or error file."""
    return f"files/{file_id}"


def batch_input(batch_id: str) -> str:
    """The batch's own copy of the file that it was made of."""
    return f"{batch_id}/input"


def line_index(batch_id: str) -> str:
    """Where each line of the input is (`app.batches.lines`)."""
    return f"{batch_id}/lines"


def faults(batch_id: str) -> str:
    """The faults that validation found (`app.batches.validation`)."""
    return f"{batch_id}/faults.jsonl"


def line_stats(batch_id: str) -> str:
    """What is known of each line that has ended (`app.batches.report.line_stats`)."""
    return f"{batch_id}/facts"


def conditions(batch_id: str) -> str:
    """What went on around the batch (`app.batches.report.conditions`)."""
    return f"{batch_id}/surroundings.json"
