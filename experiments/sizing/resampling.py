"""Power by resampling the past: the answer where a formula would flatter.

Formulas take the mean for normal. With few conversions, or money that a handful of buyers bring,
it is not. Here each simulated experiment draws its units from the past with replacement, multiplies
the treated outcomes (a proportion's chance) by 1 + lift, adjusts by the covariate if there is one,
and is judged by the very critical value of the design. Both answers are given, and the share of
false alarms without any effect: if that is off, the test itself is.
Rule of thumb for when to doubt: 355 s**2 units per variant for a skewness s. Source: Kohavi, Deng,
Longbotham, Xu (KDD 2014).
"""

from dataclasses import dataclass
from math import ceil, isfinite, sqrt
from typing import TYPE_CHECKING, Final

from experiments.errors import DataError, PlanError
from experiments.sizing.power import Design, SampleSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RUNS: Final = 1_000
RUNS_MIN: Final = 200
DRAWS_MAX: Final = 40_000_000
"""Numbers drawn in one simulation, a few seconds' worth; larger samples get fewer runs."""
EVENTS_MIN: Final = 50
"""Conversions per variant under which a proportion's normal approximation is doubtful."""


@dataclass(frozen=True)
class Doubts:
    """Whether a formula can be trusted for this metric at this sample.

    Attributes:
        skewness: Of the past's values.
        n_for_formula: Units per variant from which the mean is near enough to normal.
        reasons: Why to simulate; none if the formula will do.
    """

    skewness: float
    n_for_formula: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Simulated:
    """What simulated experiments found.

    Attributes:
        power: Share of runs that found the lift in its own direction.
        std_error: Of that share, from the number of runs.
        false_alarm_share: Share of runs without a lift that found one.
        runs: Simulated experiments of each kind.
    """

    power: float
    std_error: float
    false_alarm_share: float
    runs: int


def doubts(values: "Floats", *, size: SampleSize, is_proportion: bool) -> Doubts:
    """Ask whether the formula will do for these past values at that sample size."""
    import numpy as np

    y = _checked(values)
    centred = y - y.mean()
    spread = float(np.mean(centred**2))
    if spread == 0:
        raise DataError("the past's values are all alike; there is nothing to plan by")
    skewness = float(np.mean(centred**3)) / spread**1.5
    n_for_formula = ceil(355 * skewness**2)
    least = min(size.control, size.treatment)
    reasons = []
    if least < n_for_formula and not is_proportion:
        reasons.append(
            f"skewness {skewness:.1f} asks for {n_for_formula:,} units per variant, the plan has"
            f" {least:,}"
        )
    expected = float(np.mean(y != 0)) * least
    if expected < EVENTS_MIN:
        reasons.append(
            f"about {expected:.0f} units with anything at all in the smaller variant; at least"
            f" {EVENTS_MIN} make a mean nearly normal"
        )
    return Doubts(skewness, n_for_formula, tuple(reasons))


def resampled_power(
    values: "Floats",
    *,
    lift: float,
    size: SampleSize,
    design: Design,
    rng: "np.random.Generator",
    covariate: "Floats | None" = None,
    is_proportion: bool = False,
    runs: int = RUNS,
) -> Simulated:
    """Simulate experiments of this size on the past.

    Args:
        values: One outcome per past unit, untreated.
        covariate: One number per past unit, known before exposure; the same order.
        is_proportion: Values are 0 or 1; the lift raises the chance instead of the value.
    Raises:
        DataError: If values are not finite, or lengths differ.
        PlanError: If the sample is too large to simulate often enough, or the design looks at the
            planned end more than once (its boundaries are exact enough).
    """
    if design.method == "group_sequential":
        raise PlanError("simulate one look; what looks cost is known exactly (sizing.looks)")
    y = _checked(values)
    x = None if covariate is None else _checked(covariate)
    if x is not None and len(x) != len(y):
        raise DataError(f"{len(y)} outcomes, but {len(x)} covariates")
    if is_proportion and bool(((y != 0) & (y != 1)).any()):
        raise DataError("a proportion's values are 0 and 1 only")
    runs = _affordable(runs, size, per_unit=1.0 if x is not None else float((y != 0).mean()))
    treated = _with_lift(y, lift, is_proportion=is_proportion, rng=rng)
    idle, _ = _found(y, y, x, size=size, design=design, rng=rng, runs=runs)
    _, right = _found(y, treated, x, size=size, design=design, rng=rng, runs=runs, lift=lift)
    return Simulated(right, sqrt(max(right * (1 - right), 1 / runs) / runs), idle, runs)


def _found(
    control: "Floats",
    treated: "Floats",
    x: "Floats | None",
    *,
    size: SampleSize,
    design: Design,
    rng: "np.random.Generator",
    runs: int,
    lift: float = 0.0,
) -> tuple[float, float]:
    """(share of runs that speak, share that speak in the lift's direction)."""
    # One coefficient for all runs: the past is large, and a sample's own differs little.
    theta = _coefficient(control, x)
    one_sided = design.sided == "one"
    draw = _sparse_arm if x is None else _arm
    arms = [
        (values if x is None else values - theta * x, n)
        for values, n in ((control, size.control), (treated, size.treatment))
    ]
    n_any = n_right = 0
    for _ in range(runs):
        (mean_c, variance_c), (mean_t, variance_t) = (draw(values, n, rng) for values, n in arms)
        error = sqrt(variance_c + variance_t)
        if error == 0:
            continue
        z = (mean_t - mean_c) / error
        n_any += (z if one_sided else abs(z)) > design.critical
        n_right += (z if lift >= 0 else -z) > design.critical
    return n_any / runs, n_right / runs


def _arm(values: "Floats", n: int, rng: "np.random.Generator") -> tuple[float, float]:
    """Mean of n draws, and the variance of that mean."""
    drawn = values[rng.integers(0, len(values), n)]
    return float(drawn.mean()), float(drawn.var(ddof=1)) / n


def _sparse_arm(values: "Floats", n: int, rng: "np.random.Generator") -> tuple[float, float]:
    """The same, drawing only how many are not 0, and which: most of a shop's metrics are 0."""
    filled = values[values != 0]
    if not len(filled):
        return 0.0, 0.0
    k = int(rng.binomial(n, len(filled) / len(values)))
    drawn = filled[rng.integers(0, len(filled), k)]
    total, squares = float(drawn.sum()), float(drawn @ drawn)
    variance = max(squares - total * total / n, 0.0) / (n - 1)
    return total / n, variance / n


def _with_lift(
    y: "Floats", lift: float, *, is_proportion: bool, rng: "np.random.Generator"
) -> "Floats":
    """The past as it would be under treatment."""
    if not is_proportion:
        return y * (1 + lift)
    share = float(y.mean())
    wanted = share * (1 + lift)
    if not 0 <= wanted <= 1:
        raise PlanError(f"a lift of {lift:+.0%} takes {share:.1%} outside 0 to 100 %")
    # So many are turned that the past's own share becomes the wanted one.
    n_turned = abs(round(len(y) * (wanted - share)))
    turned = y.copy()
    candidates = (y == 0 if lift > 0 else y == 1).nonzero()[0]
    turned[rng.permutation(candidates)[:n_turned]] = 1.0 if lift > 0 else 0.0
    return turned


def _coefficient(y: "Floats", x: "Floats | None") -> float:
    if x is None:
        return 0.0
    centred = x - x.mean()
    spread = float(centred @ centred)
    return float(centred @ y) / spread if spread else 0.0


def _affordable(runs: int, size: SampleSize, *, per_unit: float) -> int:
    if min(size.control, size.treatment) < 2:
        raise PlanError(f"{size.control} and {size.treatment} units are too few to compare")
    possible = int(DRAWS_MAX / max(2 * size.total * per_unit, 1))
    if possible < RUNS_MIN:
        raise PlanError(
            f"{size.total:,} units are too many to simulate {RUNS_MIN} times; ask for a larger lift"
            " or fewer units"
        )
    return min(runs, possible)


def _checked(values: "Floats") -> "Floats":
    import numpy as np

    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise DataError(f"{numbers.size} past values are too few to draw from")
    if not isfinite(float(numbers.sum())):
        raise DataError("the past holds values that are not finite")
    return numbers
