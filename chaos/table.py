"""The table that a run prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos import redis_wire
from chaos.faults import names
from chaos.lossy import Kind

if TYPE_CHECKING:
    from chaos.run import Report

_SHOWN = 20


def text(report: Report) -> str:
    """The faults and how often each came; the promises, how often each was looked at, and what was found wrong."""
    found = report.findings
    rows = [("fault", "times", "")]
    rows += [(name, str(report.times[name]), "") for name in [*names(), *map(redis_wire.name, Kind)]]
    rows += [("", "", ""), ("promise", "looked at", "found")]
    rows += [(name, str(count), str(len(found.wrong[name]))) for name, count in sorted(found.looked_at.items())]
    rows += [("", "", ""), ("beside it", "times", "")]
    rows += [("requests that reached the API", str(report.requests), "")]
    rows += [(f"refused {name}", str(count), "") for name, count in sorted(report.ledger.refused.items())]
    rows += [(f"broken connections, {name}", str(count), "") for name, count in sorted(report.ledger.broken.items())]
    lines = [f"{name:<50} {times:>10} {wrong:>7}".rstrip() for name, times, wrong in rows]
    for promise, wrong in found.wrong.items():
        lines += [f"WRONG {promise}: {one}" for one in wrong[:_SHOWN]]
        if len(wrong) > _SHOWN:
            lines.append(f"WRONG {promise}: and {len(wrong) - _SHOWN} more")
    return "\n".join(lines) + "\n"
