"""What went on in the last eight days: samples of what there was, each closing of the gate, each replaced Claude process.

For pages and reports that say how a night went. Counters for ever are in `app.counters`.
"""

from app.history.closings import waits
from app.history.replacements import RestartEvent, restarts
from app.history.sampling import Ended, Sample, WorkerSample, ended_since, samples

__all__ = ["Ended", "RestartEvent", "Sample", "WorkerSample", "ended_since", "restarts", "samples", "waits"]
