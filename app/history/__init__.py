"""What went on in the last eight days: samples of what there was, each closing of the gate, each replaced Claude process.

For pages and reports that say how a night went. Counters for ever are in `app.counters`.
"""

from app.history.closings import waits
from app.history.recycling import RecycleEvent, recycles
from app.history.sampling import Ended, Sample, WorkerSample, ended_since, lines_per_minute, samples

__all__ = [
    "Ended",
    "RecycleEvent",
    "Sample",
    "WorkerSample",
    "ended_since",
    "lines_per_minute",
    "recycles",
    "samples",
    "waits",
]
