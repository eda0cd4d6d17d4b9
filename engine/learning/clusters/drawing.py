"""The clusters' figures as inline SVG and shaded cells, in the colours of every other report.

Shade repeats what the text in a cell or a title says: nothing is told by colour alone.
"""

from collections.abc import Callable, Sequence
from html import escape
from math import isnan

from engine.learning.clusters.choosing import Trial
from experiments.reporting.plot import round_step

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 14, 34
BAR = 220
SHADE_FULL = 2.0
"""Deviations at which a cell of the heat map is shaded most."""

CSS = """
.heat td { text-align: right; font-variant-numeric: tabular-nums; min-width: 6.2rem;
  padding: .35rem .7rem; border: 2px solid var(--paper); border-radius: .3rem; }
.heat th { padding-right: .7rem; }
.heat thead th { text-align: right; vertical-align: bottom; white-space: normal; }
.heat thead th:first-child { text-align: left; }
.heat tbody th { font-weight: 500; white-space: nowrap; }
.heat td small { display: inline; margin-left: .4rem; }
.groups { display: grid; gap: 1.1rem; margin-top: .6rem; }
.group { display: grid; grid-template-columns: 1fr auto; gap: .1rem 1.25rem; }
.group strong { font-size: 1.08rem; } .group p { grid-column: 1 / -1; margin: 0; }
.group code { color: var(--soft); }
.plot-mark { fill: currentColor; stroke: currentColor; stroke-width: 2; }
.plot-mark.hollow { fill: var(--paper); } .plot-line { fill: none; stroke: var(--line);
  stroke-width: 2; } .plot-cross { stroke: var(--bad); stroke-width: 2.25; fill: none; }
.plot-cloud { stroke: var(--open); stroke-width: 3; }
@media (max-width: 44rem) { .group { grid-template-columns: 1fr; } }
@media print { .heat td { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def share_bar(share: float, most: float, *, label: str) -> str:
    """A share of people as a bar; the longest bar is as long as there is room."""
    width = 0.0 if most <= 0 else BAR * share / most
    return (
        f'<svg class="sizes" viewBox="0 0 {BAR} 14" width="{BAR}" height="14" role="img"'
        f' aria-label="{escape(label)}"><title>{escape(label)}</title>'
        f'<rect class="track" width="{BAR}" height="14" rx="3"/>'
        f'<rect class="fill" width="{width:.1f}" height="14" rx="3"/></svg>'
    )


def shade(z: float) -> str:
    """A cell's ground: warm above what is usual, cool below, the stronger the farther."""
    if isnan(z):
        return ""
    strength = min(abs(z) / SHADE_FULL, 1.0) * 55
    colour = "--open" if z > 0 else "--fill"
    return f"background: color-mix(in srgb, var({colour}) {strength:.0f}%, transparent)"


def shade_share(share: float) -> str:
    """A cell's ground by a share in [0, 1]."""
    return f"background: color-mix(in srgb, var(--fill) {share * 60:.0f}%, transparent)"


def silhouettes(trials: Sequence[Trial]) -> str:
    """The silhouette by number of groups: a full dot was chosen, a cross refused.

    A bar across is the silhouette that one cloud without groups reaches by chance.
    """
    known = [it for it in trials if not isnan(it.silhouette)]
    if not known:
        return ""
    heights = [it.silhouette for it in known] + [it.cloud for it in known if not isnan(it.cloud)]
    low, high = min(0.0, *heights), max(0.1, *heights) * 1.08
    first, last = known[0].k, known[-1].k

    def x(k: int) -> float:
        room = WIDTH - LEFT - RIGHT - 40
        return LEFT + 20 + (room / 2 if last == first else room * (k - first) / (last - first))

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    step = round_step((high - low) / 5)
    grid = "".join(
        f'<path class="grid" d="M{LEFT} {y(i * step):.1f}H{WIDTH - RIGHT}"/>'
        f'<text class="y" x="{LEFT - 8}" y="{y(i * step) + 4:.1f}">{i * step:.2g}</text>'
        for i in range(int(low / step), int(high / step) + 1)
    )
    line = "L".join(f"{x(it.k):.1f} {y(it.silhouette):.1f}" for it in known)
    marks = "".join(_mark(it, x(it.k), y) for it in known)
    ticks = "".join(
        f'<text class="middle" x="{x(it.k):.1f}" y="{HEIGHT - 12}">{it.k}</text>' for it in known
    )
    said = "; ".join(f"{it.k} groups {it.silhouette:.2f}" for it in known)
    label = f"Silhouette by number of groups: {said}"
    return (
        f'<svg class="chart good" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(label)}"><title>{escape(label)}</title>{grid}'
        f'<path class="plot-line" d="M{line}"/>{marks}{ticks}</svg>'
    )


def _mark(trial: Trial, x: float, y: Callable[[float], float]) -> str:
    height = y(trial.silhouette)
    cloud = ""
    if not isnan(trial.cloud):
        cloud = f'<path class="plot-cloud" d="M{x - 14:.1f} {y(trial.cloud):.1f}h28"/>'
    title = f"<title>{escape(told(trial))}</title>"
    if not trial.why:
        dot = f'<circle class="plot-mark" cx="{x:.1f}" cy="{height:.1f}" r="6">{title}</circle>'
    elif trial.is_open:
        dot = (
            f'<circle class="plot-mark hollow" cx="{x:.1f}" cy="{height:.1f}" r="4.5">'
            f"{title}</circle>"
        )
    else:
        dot = (
            f'<path class="plot-cross" d="M{x - 5:.1f} {height - 5:.1f}l10 10m0 -10l-10 10">'
            f"{title}</path>"
        )
    return cloud + dot


def told(trial: Trial) -> str:
    """What became of a number of groups, in words."""
    return f"{trial.k} groups: {trial.why or 'chosen'}"
