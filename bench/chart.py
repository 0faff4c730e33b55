"""Lines over a number, as a small SVG that reads in light and in dark."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 40, 50
_COLOURS = ("#0072b2", "#d55e00", "#009e73")
_STEPS = 4
_FONT = 'font-family="sans-serif" font-size="12"'


def lines(title: str, across: str, x: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """The SVG. Both axes begin at 0; `across` names the lower one."""
    right, top = max(x), 1.1 * max(max(values) for values in series.values())

    def at(value: float, height: float) -> str:
        left = _LEFT + value / right * (_WIDTH - _LEFT - _RIGHT)
        return f"{left:.1f},{_HEIGHT - _BOTTOM - height / top * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" {_FONT}>',
        f"<title>{escape(title)}</title>",
        _text(_LEFT, 20, title, "start"),
        _text(_WIDTH - _RIGHT, _HEIGHT - 10, across, "end"),
    ]
    for step in range(_STEPS + 1):
        height, value = top * step / _STEPS, right * step / _STEPS
        left, level = map(float, at(0, height).split(","))
        place = float(at(value, 0).split(",")[0])
        parts.append(f'<path d="M{at(0, height)} L{at(right, height)}" stroke="#808080" stroke-opacity="0.3"/>')
        parts += [
            _text(left - 6, level + 4, f"{height:.0f}", "end"),
            _text(place, _HEIGHT - 32, f"{value:.0f}", "middle"),
        ]
    for (name, values), colour in zip(series.items(), _COLOURS, strict=False):
        points = " ".join(at(one, height) for one, height in zip(x, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        level = float(at(right, values[-1]).split(",")[1])
        parts.append(_text(_WIDTH - _RIGHT, level - 6, name, "end", colour))
    return "\n".join([*parts, "</svg>\n"])


def _text(left: float, level: float, words: str, anchor: str, colour: str = "#808080") -> str:
    return f'<text x="{left:.1f}" y="{level:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
