"""Marks for the report, drawn as inline SVG: intervals on a shared scale, and bars of sizes.

Colours come from the page's classes, so light, dark and print follow; every mark has a title that a
screen reader reads, and a shape that does not rely on colour.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from experiments.evidence.compare import Interval
from experiments.reporting.words import percent

WIDTH = 260
PAD = 18
LIFT_MAX = 4.0
"""Lifts beyond +400 % are drawn as an arrow at the edge, or one wild interval flattens the rest."""


@dataclass(frozen=True)
class Scale:
    """Relative lifts to pixels."""

    lower: float
    upper: float
    ticks: tuple[float, ...]

    def x(self, lift: float) -> float:
        """Horizontal place of a lift, kept inside the plot."""
        share = (lift - self.lower) / (self.upper - self.lower)
        return PAD + min(max(share, 0.0), 1.0) * (WIDTH - 2 * PAD)


def scale_for(intervals: Iterable[Interval], *, values: Iterable[float] = ()) -> Scale:
    """A scale that holds zero, all intervals and any other values, with a few round ticks."""
    ends = [0.0, *values]
    for interval in intervals:
        ends += [
            bound
            for bound in (interval.estimate, interval.ci_lower, interval.ci_upper)
            if bound is not None and abs(bound) <= LIFT_MAX
        ]
    lower, upper = min(ends), max(ends)
    if upper - lower < 1e-9:
        lower, upper = -0.1, 0.1
    room = (upper - lower) * 0.06
    lower, upper = (lower - room if lower < 0 else 0 - room), upper + room
    step = round_step((upper - lower) / 5)
    ticks = tuple(step * i for i in range(ceil(lower / step), floor(upper / step) + 1))
    return Scale(lower, upper, ticks)


def interval_row(
    interval: Interval, scale: Scale, *, tone: str, label: str, truth: float | None = None
) -> str:
    """One interval with its estimate, on the scale's grid.

    Args:
        tone: `good`, `bad`, `null` or `open`; the first two get a filled square.
        label: For screen readers.
        truth: The true lift where it is known, as in a demonstration: a diamond.
    """
    height, middle = 34, 17
    marks = [_grid(scale, height)]
    if interval.ci_lower is not None and interval.ci_upper is not None:
        left, right = scale.x(interval.ci_lower), scale.x(interval.ci_upper)
        marks.append(f'<path class="bar" d="M{left:.1f} {middle}H{right:.1f}"/>')
        marks.append(_end(left, middle, cut=interval.ci_lower < scale.lower, to=-1))
        marks.append(_end(right, middle, cut=interval.ci_upper > scale.upper, to=1))
    elif interval.estimate is not None:
        marks.append(f'<path class="bar endless" d="M{PAD} {middle}H{WIDTH - PAD}"/>')
        marks.append(_end(PAD, middle, cut=True, to=-1))
        marks.append(_end(WIDTH - PAD, middle, cut=True, to=1))
    if interval.estimate is not None:
        x = scale.x(interval.estimate)
        if tone in ("good", "bad"):
            marks.append(
                f'<rect class="dot" x="{x - 5:.1f}" y="{middle - 5}"'
                ' width="10" height="10" rx="1.5"/>'
            )
        else:
            marks.append(f'<circle class="dot hollow" cx="{x:.1f}" cy="{middle}" r="4.5"/>')
    if truth is not None:
        x = scale.x(truth)
        marks.append(f'<path class="truth" d="M{x:.1f} {middle - 13}l4.5 5l-4.5 5l-4.5 -5z"/>')
    return _svg(height, "".join(marks), label=label, css=f"forest {tone}")


def before_after_row(before: Interval, after: Interval, scale: Scale, *, label: str) -> str:
    """The unadjusted interval above, pale, and the adjusted one below it."""
    height = 40
    marks = [_grid(scale, height)]
    for interval, y, css in ((before, 13, "pale"), (after, 27, "")):
        if interval.ci_lower is None or interval.ci_upper is None or interval.estimate is None:
            continue
        left, right = scale.x(interval.ci_lower), scale.x(interval.ci_upper)
        x = scale.x(interval.estimate)
        marks.append(
            f'<g class="{css}"><path class="bar" d="M{left:.1f} {y}H{right:.1f}"/>'
            f"{_end(left, y, cut=interval.ci_lower < scale.lower, to=-1)}"
            f"{_end(right, y, cut=interval.ci_upper > scale.upper, to=1)}"
            f'<circle class="dot" cx="{x:.1f}" cy="{y}" r="4"/></g>'
        )
    return _svg(height, "".join(marks), label=label, css="forest null")


def axis_row(scale: Scale) -> str:
    """The ticks' labels, to stand under the rows."""
    labels = "".join(
        f'<text x="{scale.x(tick):.1f}" y="15">{escape(percent(tick, signed=True))}</text>'
        for tick in scale.ticks
    )
    return _svg(22, labels, label="", css="forest axis")


def size_bar(observed: int, expected: float, most: float, *, label: str) -> str:
    """Observed units as a bar, planned ones as a line across it."""
    room = WIDTH - 2 * PAD
    end, mark = PAD + room * observed / most, PAD + room * expected / most
    return _svg(
        26,
        f'<rect class="track" x="{PAD}" y="7" width="{room}" height="12" rx="2"/>'
        f'<rect class="fill" x="{PAD}" y="7" width="{end - PAD:.1f}" height="12" rx="2"/>'
        f'<path class="planned" d="M{mark:.1f} 3V23"/>',
        label=label,
        css="sizes",
    )


def _svg(height: int, inside: str, *, label: str, css: str) -> str:
    seen = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    title = f"<title>{escape(label)}</title>" if label else ""
    return (
        f'<svg class="{css}" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f" {seen}>{title}{inside}</svg>"
    )


def _grid(scale: Scale, height: int) -> str:
    return "".join(
        f'<path class="{"zero" if tick == 0 else "grid"}" d="M{scale.x(tick):.1f} 0V{height}"/>'
        for tick in scale.ticks
    )


def _end(x: float, y: float, *, cut: bool, to: int) -> str:
    """A cap where the interval ends, an arrow where it goes on beyond the plot."""
    if cut:
        back = f"{x - 5 * to:.1f}"
        return f'<path class="bar" d="M{back} {y - 4.5}L{x:.1f} {y}L{back} {y + 4.5}"/>'
    return f'<path class="bar" d="M{x:.1f} {y - 4.5}V{y + 4.5}"/>'


def round_step(wish: float) -> float:
    """The nearest of 1, 2, 2.5, 5 times a power of ten that is at least `wish`."""
    power = 10.0 ** floor(log10(wish))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= wish * 0.999)
