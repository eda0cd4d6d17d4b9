"""How many units, how small an effect, how many days: from this shop's own past.

`experiments.sizing` answers by formula. Where the metric is too skewed or too rare for one, the
past itself is resampled, and both answers are given. Read next: `past`.
"""

from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Final, Literal

from engine.readout.past import Past
from experiments.errors import PlanError
from experiments.sizing.arrivals import CurvePoint, Duration, detectable_by_day, duration
from experiments.sizing.non_inferiority import (
    power_within_margin,
    sample_size_within_margin,
    smallest_margin,
)
from experiments.sizing.power import (
    Design,
    SampleSize,
    achieved_power,
    minimum_detectable_lift,
    sample_size,
)
from experiments.sizing.resampling import Doubts, Simulated, doubts, resampled_power

if TYPE_CHECKING:
    import numpy as np

WEEKS: Final = 8
"""Of the curve that says what could be seen when."""


@dataclass(frozen=True)
class Sizing:
    """The answer: what a sample finds, and what a wished lift needs.

    Attributes:
        units: In the two compared variants together, as asked or as the past brought.
        smallest_lift: The relative lift that `units` find with the design's power (MDE); under a
            margin, the smallest one they could show.
        needed: For the wished lift or margin, where one was given.
        duration: Whole weeks until all needed units of all arms have come and their window closed.
        why_never: Why there is no duration, where they do not come.
        power_at_lift: Of `units`.
        curve: What could be seen at the end of each week.
        doubts: Why a formula may flatter here, and from how many units on it does not.
        simulated: The same question by resampling the past: the power at `simulated_size`.
    """

    past: Past
    units: int
    smallest_lift: float
    needed: SampleSize | None
    duration: Duration | None
    why_never: str
    power_at_lift: float | None
    curve: tuple[CurvePoint, ...]
    doubts: Doubts | None = None
    simulated: Simulated | None = None
    simulated_size: SampleSize | None = None
    simulated_lift: float | None = None
    why_not_simulated: str = ""

    @property
    def days(self) -> int | None:
        """From the start to the reading, in days; None without a wished lift."""
        return None if self.duration is None else self.duration.days


def size(
    past: Past,
    *,
    design: Design,
    units: int | None,
    lift: float | None,
    margin: float | None = None,
    better: Literal["higher", "lower"] = "higher",
    window_days: float = 0.0,
) -> Sizing:
    """Answer for a design; `units` None means as many as the past brought.

    Args:
        lift: A wished relative lift, or, beside a margin, the true one that is reckoned with.
        margin: A relative loss that is to be ruled out; the question is then "not worse".
    """
    n = past.n if units is None else units
    outcome, arrivals = past.outcome, past.arrivals
    if margin is None:
        smallest = partial(minimum_detectable_lift, outcome, design=design)
        needed = None if lift is None else sample_size(outcome, lift=lift, design=design)
        power = None if lift is None else achieved_power(outcome, lift=lift, n=n, design=design)
    else:
        true_lift = lift or 0.0
        smallest = partial(smallest_margin, outcome, design=design, better=better)
        needed = sample_size_within_margin(
            outcome, margin=margin, design=design, lift=true_lift, better=better
        )
        power = power_within_margin(
            outcome, margin=margin, n=n, design=design, lift=true_lift, better=better
        )
    long, why_never = None, ""
    if needed is not None:
        try:
            long = duration(
                needed.total_of(design.comparisons), arrivals=arrivals, window_days=window_days
            )
        except PlanError as error:
            why_never = str(error)
    share = _share_of_pair(design)
    curve = detectable_by_day(
        lambda coming: smallest(n=round(coming * share)),
        arrivals=arrivals,
        window_days=window_days,
        weeks=WEEKS,
    )
    return Sizing(past, n, smallest(n=n), needed, long, why_never, power, curve)


def simulated(
    answer: Sizing,
    *,
    design: Design,
    lift: float | None,
    rng: "np.random.Generator",
    always: bool = False,
) -> Sizing:
    """The answer with its doubts, and where there are some (or always) a simulation beside it.

    It asks the power of the needed sample at the wished lift, or of the sample given at the
    smallest lift that the formula believes in.
    """
    import numpy as np

    if not answer.past.values:
        return answer
    whole = SampleSize(
        ceil(answer.units * design.control_share), ceil(answer.units * (1 - design.control_share))
    )
    asked = answer.needed or whole
    wanted = answer.smallest_lift if lift is None else lift
    pairs = np.array(answer.past.values, dtype=np.float64)
    doubt = doubts(pairs[:, 0], size=asked, is_proportion=answer.past.is_proportion)
    answer = replace(answer, doubts=doubt)
    if not (doubt.reasons or always):
        return answer
    try:
        found = resampled_power(
            pairs[:, 0],
            lift=wanted,
            size=asked,
            design=design,
            rng=rng,
            covariate=pairs[:, 1] if design.variance_reduction else None,
            is_proportion=answer.past.is_proportion,
        )
    except PlanError as error:
        return replace(answer, why_not_simulated=str(error))
    return replace(answer, simulated=found, simulated_size=asked, simulated_lift=wanted)


def _share_of_pair(design: Design) -> float:
    """Of all units that come, those of the control and one treatment."""
    control, treatment = design.control_share, 1 - design.control_share
    return 1 / (control + design.comparisons * treatment)
