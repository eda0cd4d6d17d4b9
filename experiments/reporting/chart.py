"""Curves over days, drawn as inline SVG: a band that narrows, the line inside it, and zero.

The band is an interval, so it is drawn as an area with edges, not as a colour alone, and the label
carries its last number in words. Early intervals can be wider than everything after them together,
so the scale follows the later part and the rest is cut at the frame.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from math import ceil, floor
from typing import TypeGuard

from experiments.evidence.compare import Interval
from experiments.reporting.plot import round_step

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 12, 30
ROOM = 1.35
"""How much beyond the later part the scale reaches."""
TICKS = 5


@dataclass(frozen=True)
class Curve:
    """One quantity by day.

    Attributes:
        days: ISO dates, ascending.
        intervals: That day's; `inner` are narrower ones to draw inside, such as the intersection.
    """

    days: tuple[str, ...]
    intervals: tuple[Interval, ...]
    inner: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class _Frame:
    lower: float
    upper: float
    first: int
    last: int

    def x(self, day: str) -> float:
        share = (date.fromisoformat(day).toordinal() - self.first) / max(self.last - self.first, 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.lower) / (self.upper - self.lower)
        return TOP + (1 - min(max(share, -0.5), 1.5)) * (HEIGHT - TOP - BOTTOM)


def curve(
    given: Curve,
    *,
    label: str,
    tone: str,
    tick: Callable[[float], str],
    number: int,
    limit: float | None = None,
) -> str:
    """The whole chart.

    Args:
        label: What a screen reader reads of it.
        tone: `good`, `bad`, `null` or `open`.
        tick: A value as the text of its tick.
        number: Tells the clip paths of several charts on a page apart.
        limit: Bounds beyond it do not stretch the scale; they are cut at the frame.
    """
    frame = _frame(given, limit)
    band = _area(frame, given.days, given.intervals, "band")
    inner = _area(frame, given.days, given.inner, "band inner") if given.inner else ""
    points = [
        f"{frame.x(day):.1f} {frame.y(it.estimate):.1f}"
        for day, it in zip(given.days, given.intervals, strict=True)
        if it.estimate is not None
    ]
    line = f'<path class="line" d="M{"L".join(points)}"/>' if points else ""
    end = ""
    if points:
        x, y = points[-1].split()
        # Outside the clip, which would cut it in half at the edge.
        end = f'<circle class="dot" cx="{x}" cy="{y}" r="4"/>'
    clip = f"frame-{number}"
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    return (
        f'<svg class="chart {tone}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}"><title>{escape(label)}</title>'
        f'<clipPath id="{clip}"><rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/>'
        f"</clipPath>{_grid(frame, tick)}"
        f'<g clip-path="url(#{clip})">{band}{inner}{_zero(frame)}{line}</g>{end}'
        f"{_dates(frame, given.days)}</svg>"
    )


def _frame(given: Curve, limit: float | None) -> _Frame:
    later = given.intervals[len(given.intervals) // 2 :]
    ends = [0.0, *(it.estimate for it in given.intervals if _fits(it.estimate, limit))]
    for it in (*later, *given.inner[len(given.inner) // 2 :]):
        ends += [value for value in (it.estimate, it.ci_lower, it.ci_upper) if _fits(value, limit)]
    lower, upper = min(ends), max(ends)
    if upper - lower < 1e-12:
        lower, upper = -1.0, 1.0
    room = (upper - lower) * (ROOM - 1)
    days = [date.fromisoformat(day).toordinal() for day in given.days]
    return _Frame(lower - room, upper + room, days[0], days[-1])


def _fits(value: float | None, limit: float | None) -> TypeGuard[float]:
    return value is not None and (limit is None or abs(value) <= limit)


def _area(frame: _Frame, days: Sequence[str], intervals: Sequence[Interval], css: str) -> str:
    known = [
        (frame.x(day), it.ci_lower, it.ci_upper)
        for day, it in zip(days, intervals, strict=True)
        if it.ci_lower is not None and it.ci_upper is not None
    ]
    if len(known) < 2:
        return ""
    above = "L".join(f"{x:.1f} {frame.y(upper):.1f}" for x, _, upper in known)
    below = "L".join(f"{x:.1f} {frame.y(lower):.1f}" for x, lower, _ in reversed(known))
    edges = f'<path class="edge" d="M{above}"/><path class="edge" d="M{below}"/>'
    return f'<g class="{css}"><path class="fill" d="M{above}L{below}Z"/>{edges}</g>'


def _grid(frame: _Frame, tick: Callable[[float], str]) -> str:
    step = round_step((frame.upper - frame.lower) / TICKS)
    marks = []
    for i in range(ceil(frame.lower / step), floor(frame.upper / step) + 1):
        y = frame.y(i * step)
        marks.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="y" x="{LEFT - 8}" y="{y + 4:.1f}">{escape(tick(i * step))}</text>'
        )
    return "".join(marks)


def _zero(frame: _Frame) -> str:
    return f'<path class="zero" d="M{LEFT} {frame.y(0.0):.1f}H{WIDTH - RIGHT}"/>'


def _dates(frame: _Frame, days: Sequence[str]) -> str:
    """First, last, and a few between, where they have room."""
    wanted = min(5, len(days))
    places = sorted({round(i * (len(days) - 1) / max(wanted - 1, 1)) for i in range(wanted)})
    marks = []
    for place in places:
        day = date.fromisoformat(days[place])
        edge = "start" if place == 0 else "end" if place == len(days) - 1 else "middle"
        marks.append(
            f'<text class="x {edge}" x="{frame.x(days[place]):.1f}" y="{HEIGHT - 8}">'
            f"{day.day} {day:%b}</text>"
        )
    return "".join(marks)
