"""What a batch's metadata may say to Nightshift; all other names are the client's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import budgets, errors, window
from app.batches.head import OFF, PROMPT_CACHE
from app.budgets import BudgetError
from app.error_codes import ErrorCode
from app.outbound import ForbiddenTarget, check_url
from app.ways import Way

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.settings import Settings

#: names in a batch's metadata that mean something here
CALLBACK_URL, WINDOW, ON_BAD_LINE, WAY = "callback_url", "batch_window", "on_bad_line", "way"
#: not here: see `check`
NOTIFY = "notify"
TRY, MAX_COST, MAX_TOKENS, MAX_SHARE = "try", "max_cost", "max_tokens", "max_share"
#: lines that may be tried
MOST_TRIED = 1000
LARGEST = 10**12
#: what `on_bad_line` may be: a line whose body is refused fails the batch, or goes to the error file, as without it
FAIL, REFUSE = "fail", "refuse"


def check_way(settings: Settings, way: str, param: str) -> None:
    """That a batch may go by it. Raises `ErrorReply` (400)."""
    if settings.step(way) is None:
        known = ", ".join(step.way for step in settings.ways)
        raise errors.invalid_request(
            f"'{WAY}' takes a way to Claude that NIGHTSHIFT_WAYS names: {known}.", param, ErrorCode.INVALID_VALUE
        )


def check_share(settings: Settings, share: str, way: str | None, param: str) -> None:
    """That a batch that goes that way (None: any) may have it. Raises `ErrorReply` (400)."""
    try:
        budgets.read_share(share)
    except BudgetError as error:
        raise errors.invalid_request(f"'{MAX_SHARE}' {error}.", param, ErrorCode.INVALID_VALUE) from error
    if settings.step(Way.CLI) is None or way not in (None, Way.CLI):
        raise errors.invalid_request(
            f"'{MAX_SHARE}' is of a subscription's usage window: it is for batches that may go by '{Way.CLI}'.",
            param,
            ErrorCode.INVALID_VALUE,
        )


def check(metadata: Mapping[str, str], settings: Settings) -> str:
    """That its values are such as they may be; the callback's URL, empty without one. Raises `ErrorReply` (400)."""
    if (text := metadata.get(WINDOW)) is not None:
        try:
            window.parse(text)
        except window.WindowError as error:
            raise errors.invalid_request(
                f"'{WINDOW}' {error}.", f"metadata.{WINDOW}", ErrorCode.INVALID_VALUE
            ) from error
    if NOTIFY in metadata:
        raise errors.invalid_request(
            "Whoever sees the batch sees its metadata: name URLs for messages in the request's own field 'notify'.",
            f"metadata.{NOTIFY}",
            ErrorCode.INVALID_VALUE,
        )
    for name, takes in ((ON_BAD_LINE, (FAIL, REFUSE)), (PROMPT_CACHE, (OFF,))):
        if metadata.get(name, takes[0]) not in takes:
            raise errors.invalid_value(f"metadata.{name}", f"takes {' or '.join(takes)}")
    if (way := metadata.get(WAY)) is not None:
        check_way(settings, way, f"metadata.{WAY}")
    if (share := metadata.get(MAX_SHARE)) is not None:
        check_share(settings, share, metadata.get(WAY), f"metadata.{MAX_SHARE}")
    if (url := metadata.get(CALLBACK_URL)) is None:
        return ""
    try:
        check_url(url, settings.callback_allowed_hosts)
    except ForbiddenTarget as error:
        raise errors.invalid_request(str(error), f"metadata.{CALLBACK_URL}", ErrorCode.INVALID_CALLBACK_URL) from error
    return url


def number(metadata: Mapping[str, str], name: str, most: int, *, is_whole: bool = False) -> float:
    """A number above 0 that the metadata has under that name; 0 without one. Raises `ErrorReply` (400)."""
    text = metadata.get(name)
    if text is None:
        return 0
    try:
        found = int(text) if is_whole else float(text)
    except ValueError:
        found = 0
    if not 0 < found <= most:
        what = f"a whole number from 1 to {most}" if is_whole else "an amount of US dollars above 0, such as 20"
        raise errors.invalid_request(f"'{name}' takes {what}.", f"metadata.{name}", ErrorCode.INVALID_VALUE)
    return found
