"""Bars around the clock, as inline SVG in the house's classes: light, dark and print follow.

Every bar has a title; the marked hour has a word of its own, so nothing is told by colour alone.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from engine.learning.send_times.counts import DAY_HOURS
from experiments.reporting.plot import round_step

WIDTH: Final = 640
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 44
LABELLED: Final = 3
"""Every third hour is written below its bar: all of them would touch on a phone."""
GAP: Final = 0.14
"""Of an hour's width, either side of its bar."""


def hour_bars(
    values: Sequence[float],
    *,
    said: Callable[[float], str],
    label: str,
    marked: int | None = None,
    mark: str = "",
) -> str:
    """One bar for each hour of the day.

    Args:
        values: 24, none below zero.
        said: A value in words, along the side and in the titles.
        label: The whole in a sentence, for those who do not see it.
        marked: The hour over which `mark` is written.
    Raises:
        ValueError: If there are not 24 values, or one is below zero or no number.
    """
    if len(values) != DAY_HOURS or not all(it >= 0 for it in values):
        raise ValueError(f"24 values of at least 0 are needed, found {len(values)}: {values}")
    most = max(values) * 1.06 or 1.0
    wide, high = (WIDTH - LEFT - RIGHT) / DAY_HOURS, HEIGHT - TOP - BOTTOM
    floor = HEIGHT - BOTTOM
    marks = []
    step = round_step(most / 4)
    for n in range(int(most / step) + 1):
        y = floor - n * step / most * high
        marks.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="y" x="{LEFT - 8}" y="{y + 4:.1f}">{escape(said(n * step))}</text>'
        )
    for hour, value in enumerate(values):
        tall = value / most * high
        left, middle = LEFT + (hour + GAP) * wide, LEFT + (hour + 0.5) * wide
        marks.append(
            f"<g><title>{hour:02d}:00 to {hour:02d}:59: {escape(said(value))}</title>"
            f'<rect class="dot" x="{left:.1f}" y="{floor - tall:.1f}"'
            f' width="{(1 - 2 * GAP) * wide:.1f}" height="{tall:.1f}" rx="2"/></g>'
        )
        if hour % LABELLED == 0:
            marks.append(
                f'<text class="middle" x="{middle:.1f}" y="{floor + 18}">{hour:02d}</text>'
            )
        if hour == marked:
            # Over the drawing, and never beyond its edges.
            at = min(max(middle, LEFT + 70), WIDTH - RIGHT - 70)
            marks.append(
                f'<path class="zero" d="M{middle:.1f} {TOP - 8}V{floor - tall - 2:.1f}"/>'
                f'<text class="middle" x="{at:.1f}" y="{TOP - 14}">{escape(mark)}</text>'
            )
    below = (
        f'<text class="middle" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 6}">'
        "hour of the day, local</text>"
    )
    return (
        f'<svg class="chart null" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}">{"".join(marks)}{below}</svg>'
    )
