"""The secret that signs callbacks: the user's own, or made at the first start and kept."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from app.stack.data_dir import write_private
from app.stack.errors import StackError

if TYPE_CHECKING:
    from app.settings import Settings

#: Standard Webhooks: the prefix, then base64 of 24 to 64 bytes
PREFIX = "whsec_"
_BYTES = 32


def webhook_secret(settings: Settings) -> tuple[str, bool]:
    """The secret, and whether it was made just now: then it is to be shown, once."""
    if settings.webhook_secret:
        return settings.webhook_secret, False
    path = settings.data_dir / "webhook-secret"
    if path.exists():
        secret = path.read_text().strip()
        if not secret.startswith(PREFIX):
            raise StackError(
                f"{path} holds no secret ({PREFIX}...). Put it back, or remove the file to have a new one made."
            )
        return secret, False
    secret = PREFIX + base64.b64encode(os.urandom(_BYTES)).decode()
    write_private(path, secret + "\n")
    return secret, True
