"""How a batch goes: a bar in a notebook or a terminal, with tqdm where it is installed; else a line now and then."""

from __future__ import annotations

import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightshift_client.batch import Batch

#: without a bar, a line is written so often at most, seconds
_LINE_SECONDS = 30.0


class Progress:
    """Used with `with`. Writes to stderr, where a notebook has a bar of its own; nothing when `is_shown` is false."""

    def __init__(self, *, is_shown: bool) -> None:
        self._is_shown = is_shown
        self._make = _bar_of_tqdm() if is_shown else None
        self._bar: Any = None
        self._line = ""
        self._next_line = 0.0
        self._batch: Batch | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._is_shown and kind is None and self._batch is not None:
            self._say(_line(self._batch))
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self._batch is not None:
            print(f"{self._batch.id} goes on without you: watch() shows it again, cancel() ends it.", file=sys.stderr)

    def show(self, batch: Batch) -> None:
        """How it is now."""
        self._batch = batch
        if self._make is None:
            if self._is_shown and time.monotonic() >= self._next_line:
                self._say(_line(batch))
            return
        if self._bar is None and batch.total:
            self._bar = self._make(total=batch.total, initial=batch.done, unit=" requests", dynamic_ncols=True)
        if self._bar is not None:
            self._bar.n = batch.done
            self._bar.set_postfix_str(details(batch))

    def note(self, text: str) -> None:
        """Why nothing is known."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def _say(self, line: str) -> None:
        if line != self._line:
            print(line, file=sys.stderr, flush=True)
        self._line, self._next_line = line, time.monotonic() + _LINE_SECONDS


def details(batch: Batch) -> str:
    """Cost, failures, and why it waits and until when."""
    parts = [] if batch.status == "in_progress" else [batch.status]
    if batch.cost_usd:
        parts.append(f"${batch.cost_usd:.4f}" if batch.cost_usd >= 0.0001 else "less than $0.0001")
    if batch.failed:
        parts.append(f"{batch.failed:,} failed")
    if batch.unrun:
        parts.append(f"{batch.unrun:,} not run")
    if batch.waiting_for:
        until = time.strftime(" until %a %H:%M", time.localtime(batch.waiting_until)) if batch.waiting_until else ""
        parts.append(f"waits: {batch.waiting_reason or batch.waiting_for}{until}")
    return ", ".join(parts)


def _line(batch: Batch) -> str:
    return ", ".join(part for part in (f"{batch.id} {batch.done:,}/{batch.total:,}", details(batch)) if part)


def _bar_of_tqdm() -> Any:
    """What makes a bar, where somebody can see one."""
    if "ipykernel" not in sys.modules and not sys.stderr.isatty():
        return None
    try:
        with warnings.catch_warnings():  # without ipywidgets the bar is one of text
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm  # noqa: PLC0415 - optional
    except ImportError:
        return None
    return tqdm
