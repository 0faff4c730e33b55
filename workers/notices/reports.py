"""The morning reports that are attached, from the API of this machine as files: it alone makes the page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from app.settings import Settings

log = logging.getLogger(__name__)

#: of a digest; and of one page, bytes: services refuse large ones
_MOST = 5
_MAX_BYTES = 5 * 1024 * 1024
_SECONDS = 5.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104 - compared, not bound


def fetch(settings: Settings, batch_ids: Iterable[str], directory: Path) -> list[Path]:
    """Those that there are; a message goes without what is not."""
    host = _EVERYWHERE.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)
    headers = {"Authorization": f"Bearer {settings.api_keys[0]}"} if settings.api_keys else {}
    found = []
    with httpx.Client(headers=headers, timeout=_SECONDS, trust_env=False) as client:
        for batch_id in list(batch_ids)[:_MOST]:
            try:
                # Without answers, also where some were tried to be looked at.
                page = client.get(f"http://{host}:{settings.port}/batches/{batch_id}?links=absolute&answers=0")
            except httpx.HTTPError as error:
                log.info(
                    "[NOTIFY] no report of %s is attached: the API does not answer (%s)", batch_id, type(error).__name__
                )
                break
            if page.status_code == 200 and len(page.content) <= _MAX_BYTES:
                path = directory / f"{batch_id}.html"
                path.write_bytes(page.content)
                found.append(path)
    return found
