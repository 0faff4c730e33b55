"""Whether the storage can be used, before anything is started that needs it."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

from app.batches.storage import open_storage
from ops.supervisor.errors import StackError

if TYPE_CHECKING:
    from app.settings import Settings

log = logging.getLogger(__name__)


def check(settings: Settings, *, may_be_away: bool = False) -> None:
    """Of one that `NIGHTSHIFT_STORAGE` names. Raises `StackError` that says why not. `may_be_away`: one that does not answer may come back."""
    if not settings.storage:
        return
    try:
        open_storage(settings).check()
    except OSError as error:
        why = error.strerror or str(error)
        if may_be_away and error.errno == errno.EIO:
            log.warning("[STORAGE] batches wait: %s", why)
            return
        raise StackError(f"The storage can't be used: {why}. See docs/storage.md.") from error
