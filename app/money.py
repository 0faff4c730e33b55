"""US dollars as people read them."""

from __future__ import annotations

import math


def money(usd: float) -> str:
    """Cents, and of what is less than ten of them two digits: what is something never reads as nothing."""
    if usd < 0:
        return f"-{money(-usd)}"
    if usd >= 0.1 or not usd:
        return f"${usd:,.2f}"
    return f"${usd:.{1 - math.floor(math.log10(usd))}f}"
