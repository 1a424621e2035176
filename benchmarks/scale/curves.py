"""Curves: one measure over a growing size, for several subjects; as a table, JSON and a picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from benchmarks.harness import OURS, Unit
from benchmarks.report import shown

if TYPE_CHECKING:
    from benchmarks.bench import Bench

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 320, 80, 190, 44, 46
_FONT = 'font-family="sans-serif" font-size="12"'
_OURS = ("#c2410c", "#ea8a4f", "#7c2d12", "#f4b183")
_PEERS = ("#475569", "#94a3b8", "#1e3a5f")

Points = Mapping[float, float]
Measure = Callable[["Bench"], Any]


@dataclasses.dataclass(frozen=True)
class Curve:
    """What was measured at each size; smaller is better."""

    name: str
    title: str
    size: str
    """What grows, as the axis says."""
    unit: Unit
    series: Mapping[str, Points]
    remark: str = ""

    @property
    def sizes(self) -> list[float]:
        return sorted({size for points in self.series.values() for size in points})

    def table(self) -> str:
        head = [self.size, *self.series]
        lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for size in self.sizes:
            cells = [
                shown(points[size], self.unit) if size in points else ""
                for points in self.series.values()
            ]
            lines.append("| " + " | ".join([f"{size:,.0f}", *cells]) + " |")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


SWEEPS: dict[str, Measure] = {}


def sweep(name: str) -> Callable[[Measure], Measure]:
    """Register a function that measures one or several curves."""

    def register(measure: Measure) -> Measure:
        SWEEPS[name] = measure
        return measure

    return register


def svg(curve: Curve) -> str:
    """Lines over logarithmic axes."""
    at_x = _axis(curve.sizes, _LEFT, _WIDTH - _RIGHT)
    heights = [value for points in curve.series.values() for value in points.values() if value > 0]
    at_y = _axis(heights, _HEIGHT - _BOTTOM, _TOP)
    title = escape(curve.title.replace("`", ""))
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'width="{_WIDTH}" height="{_HEIGHT}" role="img" {_FONT}>'
        ),
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="10" y="22" font-weight="bold" fill="#222222">{title}</text>',
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, curve.size, "middle"),
    ]
    parts += [
        _text(at_x(size), _HEIGHT - _BOTTOM + 16, _short(size), "middle") for size in curve.sizes
    ]
    for height in _ticks(heights):
        y = at_y(height)
        parts += [
            (
                f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                'stroke="#e5e7eb"/>'
            ),
            _text(_LEFT - 8, y + 4, shown(height, curve.unit), "end"),
        ]
    colours = {True: iter(_OURS), False: iter(_PEERS)}
    for number, (name, points) in enumerate(curve.series.items()):
        colour = next(colours[name.startswith(OURS)])
        parts += _line(points, at_x, at_y, colour)
        y = _TOP + 10 + 18 * number
        parts += [
            f'<rect x="{_WIDTH - _RIGHT + 14}" y="{y - 8}" width="12" height="8" fill="{colour}"/>',
            _text(_WIDTH - _RIGHT + 32, y, name, "start"),
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(
    points: Points, at_x: Callable[[float], float], at_y: Callable[[float], float], colour: str
) -> list[str]:
    places = [(at_x(size), at_y(points[size])) for size in sorted(points) if points[size] > 0]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
    ]


def _axis(values: Sequence[float], first: float, last: float) -> Callable[[float], float]:
    low, high = math.log10(min(values)), math.log10(max(values))
    spread = max(high - low, 0.3)
    middle = (low + high) / 2
    start = middle - spread / 2
    return lambda value: first + (last - first) * (math.log10(value) - start) / spread


def _ticks(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 30 else (1,)
    found = [10.0**decade * step for decade in decades for step in steps]
    return [each for each in found if low <= each <= high] or [low, high]


def _short(size: float) -> str:
    for step, suffix in ((1e6, "M"), (1e3, "k")):
        if size >= step:
            return f"{size / step:g}{suffix}"
    return f"{size:g}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222222">{escape(text)}</text>'
    )
