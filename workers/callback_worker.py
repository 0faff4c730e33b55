"""`python -m workers.callback_worker --name NAME`: one process that delivers callbacks.

A nearly stock `SimpleWorker` will do here: the outbox owns the events, RQ only says which is due, and a job that is lost or
recorded wrongly is dispatched again.
"""

from __future__ import annotations

import sys

from rq.serializers import JSONSerializer

from app.connection import connect_blocking
from app.jobs import tickets
from app.webhooks.signing import WebhookSecretError
from workers.callbacks import notices
from workers.callbacks.tasks import CallbackContext, install
from workers.start import PatientWorker, start


def main(argv: list[str] | None = None) -> int:
    """Deliver until told to stop. 0 after a stop; 1, with the reason, for wrong settings."""
    name, settings, connection = start("callback_worker", argv)
    try:
        context = CallbackContext.create(connection, settings)
    except WebhookSecretError as error:
        sys.exit(f"NIGHTSHIFT_WEBHOOK_SECRET: {error}")
    install(context)
    notices.watch(settings.redis_url or "")
    waiting = connect_blocking(settings.redis_url or "")
    PatientWorker(
        [tickets.queue(waiting, tickets.CALLBACK_QUEUE)],
        name=name,
        connection=waiting,
        serializer=JSONSerializer,
        worker_ttl=20,
        log_job_description=False,
    ).work()
    # What still runs after that is due again when its claim ends.
    context.close(settings.stop_grace_seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
