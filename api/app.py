"""The web application: puts the endpoints on one core."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from api import (
    auth,
    batch_report,
    dashboard,
    errors,
    gate,
    health,
    home,
    jobs,
    keys,
    metrics,
    openapi,
    scale,
    table_results,
    tracing,
    usage,
)
from api.new_batch import views as new_batch
from api.openai import batches, completions, files, models, responses, webhook_endpoints
from api.overview import views as overview
from api.services import EXTENSION, Services
from api.waiting import Waiting
from app import clock
from app.batches.store import Batches
from app.connection import connect
from app.jobs.store import Jobs
from app.settings import Settings, SettingsError

if TYPE_CHECKING:
    from redis import Redis


class _Json(DefaultJSONProvider):
    """JSON as we build it: keys in their order, text as itself."""

    sort_keys = False
    ensure_ascii = False
    compact = True


def create_app(settings: Settings, connection: Redis | None = None) -> Flask:
    """The application. `settings.redis_url` must be set, for the listener has a connection of its own.

    Raises:
        SettingsError: there is no Redis to talk to.
    """
    if settings.redis_url is None:
        raise SettingsError("REDIS_URL is not set: `nightshift up` starts a server and sets it for the API.")
    connection = connection or connect(settings.redis_url)
    app = Flask("api", static_folder=None)
    app.json = _Json(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    jobs_store = Jobs(connection, settings)
    app.extensions[EXTENSION] = Services(
        settings=settings,
        connection=connection,
        jobs=jobs_store,
        waiting=Waiting(connection, settings, jobs_store),
        batches=Batches(connection, settings),
    )
    app.before_request(partial(clock.refresh, connection))
    tracing.register(app, settings)
    auth.register(app, settings, connection)
    errors.register(app, settings)
    ours = (home, openapi, gate, health, metrics, jobs, keys, usage, scale, batch_report, table_results)
    for module in (*ours, completions, responses, models, files, batches, webhook_endpoints):
        app.register_blueprint(module.blueprint)
    for blueprint in (completions.text_blueprint, completions.stored_blueprint, responses.stored_blueprint):
        app.register_blueprint(blueprint)
    app.register_blueprint(new_batch.blueprint)
    overview.register(app)
    dashboard.register(app, settings.redis_url)
    return app
