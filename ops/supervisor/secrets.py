"""The secret that signs callbacks: the user's own, or made at the first start and kept; one for all that share a Redis."""

from __future__ import annotations

import base64
import logging
import os
from typing import TYPE_CHECKING, Any

from app import supervisors
from app.private_files import write_private
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from redis import Redis

    from app.settings import Settings
    from app.supervisors import SupervisorStatus

log = logging.getLogger(__name__)

#: Standard Webhooks: the prefix, then base64 of 24 to 64 bytes
PREFIX = "whsec_"
_BYTES = 32
#: of the data dir: where the secret that was made is kept
SECRET_FILE = "webhook-secret"  # noqa: S105 - a name
#: the secret that was made, for all that are given none
SHARED = "nightshift:webhook_secret"


def webhook_secret(settings: Settings, connection: Redis | None = None) -> tuple[str, bool]:
    """The secret, and whether it was made just now: then it is to be shown, once.

    `connection`: to a Redis of the user's, which other machines may use, too. The first that comes there makes the secret.
    Raises `StackError` for a file without one.
    """
    if settings.webhook_secret:
        return settings.webhook_secret, False
    path = settings.data_dir / SECRET_FILE
    kept = _kept(settings)
    made = kept or PREFIX + base64.b64encode(os.urandom(_BYTES)).decode()
    if connection is not None:
        connection.set(SHARED, made, nx=True)
        found: Any = connection.get(SHARED)
        if (shared := str(found.decode())) != made:
            if kept:
                log.warning(
                    "[CALLBACK] callbacks are signed with the secret in Redis, not with the other one in %s", path
                )
            return shared, False
    if not kept:
        write_private(path, made + "\n")
    return made, not kept


def shared_secret(connection: Redis) -> str | None:
    """The secret that a `nightshift up` on this Redis has made; None: there was none, or all are given one."""
    found: Any = connection.get(SHARED)
    return None if found is None else str(found.decode())


def check_others(connection: Redis, mine: SupervisorStatus) -> None:
    """Receivers would refuse what is signed with different secrets. Raises `StackError` naming a machine with another one."""
    for row in supervisors.others_of(supervisors.read_all(connection), mine):
        if row.secrets and not supervisors.in_common(mine.secrets, row.secrets):
            raise StackError(
                f"The Nightshift in {row.data_dir} on {row.host} uses this Redis, too, and signs callbacks with another secret:"
                " receivers would refuse those of one of the two. Set NIGHTSHIFT_WEBHOOK_SECRET to the same on both, or on none."
            )
    supervisors.announce(connection, mine)


def _kept(settings: Settings) -> str:
    """The one in the data dir, empty when there is none yet."""
    path = settings.data_dir / SECRET_FILE
    if not path.exists():
        return ""
    secret = path.read_text().strip()
    if not secret.startswith(PREFIX):
        raise StackError(
            f"{path} holds no secret ({PREFIX}...). Put it back, or remove the file to have a new one made."
        )
    return secret
