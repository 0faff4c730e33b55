"""All that `workers.callback_worker` imports, and what it would import with its first event."""

from workers.callbacks import tasks
from workers.start import PatientWorker

__all__ = ["PatientWorker", "tasks"]
