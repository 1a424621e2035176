"""Bars as SVG, one picture a result."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from benchmarks.harness import OURS, Result
from benchmarks.report import shown

_WIDTH, _LEFT, _RIGHT = 720, 190, 90
_BAR, _STEP, _TOP = 18, 28, 44
_FONT = 'font-family="sans-serif" font-size="13"'
_SPREAD = 30
"""From this ratio of the longest bar to the shortest on, bars are logarithmic."""


def draw(result: Result, path: Path) -> None:
    """Write the picture of a result."""
    path.write_text(svg(result), "utf-8")


def svg(result: Result) -> str:
    """Horizontal bars, the shortest first; ours in colour."""
    values = {name: result.value(name) or 0.0 for name in result.figures}
    ordered = sorted(values, key=lambda name: values[name])
    logarithmic = _is_logarithmic(list(values.values()))
    note = ", logarithmic" if logarithmic else ""
    height = _TOP + _STEP * len(ordered) + 8
    title = escape(result.title.replace("`", ""))
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    small = 'text-anchor="end" fill="#777777" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {_FONT}>',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-weight="bold" fill="#222222">{title}</text>',
        f'<text x="{_WIDTH - 10}" y="{_TOP - 6}" {small}>less is better{note}</text>',
    ]
    for at, name in enumerate(ordered):
        top = _TOP + _STEP * at
        length = _length(values[name], list(values.values()), logarithmic=logarithmic)
        colour = "#c2410c" if name.startswith(OURS) else "#94a3b8"
        middle = top + _BAR - 5
        parts += [
            _text(_LEFT - 8, middle, name, anchor="end"),
            f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>',
            _text(_LEFT + length + 6, middle, shown(values[name], result.unit)),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y}" text-anchor="{anchor}"'
    return f'<text {place} fill="#222222">{escape(text)}</text>'


def _is_logarithmic(values: list[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) >= _SPREAD


def _length(value: float, values: list[float], *, logarithmic: bool) -> float:
    room, most = _WIDTH - _LEFT - _RIGHT, max(values)
    if not logarithmic:
        return room * value / most if most else 0.0
    low = math.log10(min(values)) - 0.3
    return room * (math.log10(value) - low) / (math.log10(most) - low)
