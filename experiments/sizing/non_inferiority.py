"""How many units show that a treatment is not worse than the control by more than a margin.

The margin m is relative, the smallest loss that would matter. The test asks whether
treatment - (1 - m) control is above 0 (below, with 1 + m, where less is better), which is what the
bound of Fieller's relative interval answers; so the control's variance counts (1 - m)**2 times.
One-sided at the design's whole alpha: 0.025 is the side of a 95 % interval.
Source: Chow, Shao, Wang (2008), chapters 3 and 4, for the absolute form.
"""

from dataclasses import replace
from math import sqrt
from typing import Literal

from experiments.errors import PlanError
from experiments.sizing.power import Design, Outcome, SampleSize, divided

Better = Literal["higher", "lower"]


def sample_size_within_margin(
    outcome: Outcome,
    *,
    margin: float,
    design: Design,
    lift: float = 0.0,
    better: Better = "higher",
) -> SampleSize:
    """Units that show it with the design's power.

    Args:
        margin: A relative loss, such as 0.02 for 2 % of the control, above 0.
        lift: The true relative difference one reckons with; 0 is "really the same".
    Raises:
        PlanError: If the expected difference is itself as bad as the margin.
    """
    design = replace(design, sided="one")
    distance = _distance(outcome, margin, lift, better)
    spread = _unit_variance(outcome, margin, lift, better, design)
    return divided(design.reach**2 * spread / distance**2, design)


def power_within_margin(
    outcome: Outcome,
    *,
    margin: float,
    n: int,
    design: Design,
    lift: float = 0.0,
    better: Better = "higher",
) -> float:
    """The chance that n units in both variants show it."""
    if n < 2:
        raise PlanError(f"{n} units are too few to compare two variants")
    design = replace(design, sided="one")
    distance = _distance(outcome, margin, lift, better)
    return design.chance(distance / sqrt(_unit_variance(outcome, margin, lift, better, design) / n))


def smallest_margin(
    outcome: Outcome, *, n: int, design: Design, better: Better = "higher"
) -> float:
    """The smallest relative loss that n units rule out with the design's power, if none is there.

    Raises:
        PlanError: If they cannot even rule out the loss of everything.
    """
    low, high = 0.0, 1.0
    if power_within_margin(outcome, margin=0.999999, n=n, design=design, better=better) < (
        design.power
    ):
        raise PlanError(f"{n:,} units are too few: not even a loss of everything is ruled out")
    for _ in range(60):
        middle = (low + high) / 2
        reached = power_within_margin(outcome, margin=middle, n=n, design=design, better=better)
        if reached < design.power:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _distance(outcome: Outcome, margin: float, lift: float, better: Better) -> float:
    if not 0 < margin < 1:
        raise PlanError(f"margin {margin:g} is not between 0 and 1; 2 % of the control is 0.02")
    room = margin + (lift if better == "higher" else -lift)
    if room <= 0:
        raise PlanError(
            f"an expected lift of {lift:+.1%} is already beyond the margin of {margin:.1%}; no"
            " number of units shows the opposite of the truth"
        )
    return room * abs(outcome.mean)


def _unit_variance(
    outcome: Outcome, margin: float, lift: float, better: Better, design: Design
) -> float:
    factor = 1 - margin if better == "higher" else 1 + margin
    spread = outcome.variance * factor**2 / design.control_share + outcome.variance_at(lift) / (
        1 - design.control_share
    )
    return spread * (1 - design.variance_reduction) * design.design_effect
