"""What a score's report draws, as inline SVG in the house's classes: light, dark and print follow.

Every mark has a shape and a title; nothing is told by colour alone.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from engine.learning.scores.promotion import figure
from experiments.reporting.plot import round_step

WIDTH: Final = 640
HEIGHT: Final = 340
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 44


def calibration_plot(rows: Sequence[Mapping[str, float]], *, is_chance: bool) -> str:
    """What came against what was foretold, ten groups with 95 % intervals; the diagonal is right.

    On the scale of what was met: of a rare target a scale up to 1 would show nothing.
    """
    ends = [it[side] for it in rows for side in ("foretold", "high")]
    most = max([*ends, 1e-9]) * 1.04
    lowest = min([0.0, *(it["low"] for it in rows)])
    axes = _Axes(lowest, most, lowest, most)
    marks = [
        axes.grid(is_share=is_chance, both=True),
        f'<path class="zero" d="M{axes.x(lowest):.1f} {axes.y(lowest):.1f}'
        f'L{axes.x(most):.1f} {axes.y(most):.1f}"/>',
    ]
    for it in rows:
        x, low, high = axes.x(it["foretold"]), axes.y(it["low"]), axes.y(it["high"])
        said = (
            f"foretold {_said(it['foretold'], is_chance)}, came {_said(it['came'], is_chance)}"
            f" ({_said(it['low'], is_chance)} to {_said(it['high'], is_chance)}),"
            f" {it['n']:,} people"
        )
        marks.append(
            f"<g><title>{escape(said)}</title>"
            f'<path class="line" d="M{x:.1f} {low:.1f}V{high:.1f}'
            f'M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8"/>'
            f'<circle class="dot" cx="{x:.1f}" cy="{axes.y(it["came"]):.1f}" r="5"/></g>'
        )
    label = f"{len(rows)} groups of people: what came against what was foretold"
    return _chart("".join(marks), label, below="foretold")


def decile_bars(lifts: Sequence[float]) -> str:
    """How many times the average each tenth did, the highest ranked at the left."""
    most = max([1.2, *lifts]) * 1.12
    axes = _Axes(0.0, len(lifts), 0.0, most)
    marks = [axes.grid(is_share=False, both=False)]
    for at, lift in enumerate(lifts):
        left, top = axes.x(at + 0.14), axes.y(max(lift, 0.0))
        width, bottom = axes.x(at + 0.86) - left, axes.y(0.0)
        middle = left + width / 2
        marks.append(
            f"<g><title>tenth {at + 1}: {lift:.2f} times the average</title>"
            f'<rect class="dot" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}"'
            f' height="{bottom - top:.1f}" rx="2"/>'
            f'<text class="middle" x="{middle:.1f}" y="{top - 6:.1f}">{lift:.1f}</text>'
            f'<text class="middle" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 18}">{at + 1}</text></g>'
        )
    marks.append(f'<path class="zero" d="M{LEFT} {axes.y(1.0):.1f}H{WIDTH - RIGHT}"/>')
    label = "Times the average, by tenth: " + ", ".join(f"{it:.1f}" for it in lifts)
    return _chart("".join(marks), label, below="tenth by score, the highest first")


def weight_bar(value: float, most: float, *, label: str) -> str:
    """One feature's weight beside the weightiest."""
    width, room = 260, 224
    end = room * max(value, 0.0) / most if most > 0 else 0.0
    return (
        f'<svg class="sizes" viewBox="0 0 {width} 20" width="{width}" height="20" role="img"'
        f' aria-label="{escape(label)}"><title>{escape(label)}</title>'
        f'<rect class="track" x="18" y="4" width="{room}" height="12" rx="2"/>'
        f'<rect class="fill" x="18" y="4" width="{end:.1f}" height="12" rx="2"/></svg>'
    )


class _Axes:
    """Values to pixels."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self.across, self.up = (x_low, x_high), (y_low, y_high)

    def x(self, value: float) -> float:
        low, high = self.across
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        return TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM)

    def grid(self, *, is_share: bool, both: bool) -> str:
        """Lines at round values, labelled; `both`: along the lower edge as well."""
        marks = []
        for value in _ticks(*self.up):
            y = self.y(value)
            marks.append(
                f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
                f'<text class="y" x="{LEFT - 8}" y="{y + 4:.1f}">{_said(value, is_share)}</text>'
            )
        for value in _ticks(*self.across) if both else ():
            marks.append(
                f'<text class="middle" x="{self.x(value):.1f}" y="{HEIGHT - BOTTOM + 18}">'
                f"{_said(value, is_share)}</text>"
            )
        return "".join(marks)


def _ticks(low: float, high: float) -> list[float]:
    step = round_step((high - low) / 5)
    first = -int(-low // step) if low < 0 else 0
    return [step * i for i in range(first, int(high / step) + 1) if low <= step * i <= high]


def _said(value: float, is_share: bool) -> str:
    if not is_share:
        return figure(value)
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def _chart(inside: str, label: str, *, below: str) -> str:
    named = (
        f'<text class="middle" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}">'
        f"{escape(below)}</text>"
    )
    return (
        f'<svg class="chart null" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}">{inside}{named}</svg>'
    )


def tone_of(is_better: bool) -> str:
    """The page's tone for a verdict."""
    return "good" if is_better else "open"


def plain(value: Any) -> str:
    """A setting as text."""
    return figure(value) if isinstance(value, float) else str(value)
