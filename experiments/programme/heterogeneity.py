"""Does the effect differ between kinds of units? One honest test per declared dimension.

Looking at ten segments finds a "winner" in nearly half of all experiments without any effect. So a
dimension is tested as a whole (do its levels differ more than noise?), dimensions are corrected for
their number, and each level is shown pulled towards the others by what its own noise deserves. A
dimension that was not declared before the start is marked as exploratory, whatever it shows.

Sources: Cochran (Biometrics 10, 1954) for Q; Welch (Biometrika 38, 1951) for its small-sample F;
Benjamini, Hochberg (1995) across dimensions; shrinkage as in `meta`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import sqrt

from experiments.distributions import chi_square_tail, normal_quantile
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, relative_lift, welch
from experiments.evidence.multiplicity import adjusted_pvalues
from experiments.programme.meta import PastEffect, between_variance, pooled, shrunk

EXPLORATORY = "exploratory: not declared before the start; a hint for the next test, no finding"


@dataclass(frozen=True)
class Level:
    """The effect among the units of one level.

    Attributes:
        lift_abs, lift_rel: As if this level stood alone; uncorrected.
        pulled: The absolute effect shrunk towards the dimension's mean, with its interval: the one
            to act on.
        kept_share: How much of its distance to that mean the level's data earned it.
    """

    level: str
    n_control: int
    n_treatment: int
    lift_abs: Interval
    lift_rel: Interval
    pvalue: float | None
    pulled: Interval
    kept_share: float


@dataclass(frozen=True)
class Dimension:
    """One way of dividing the units.

    Attributes:
        q: Cochran's Q of the levels' absolute effects, chi-square on levels - 1.
        q_pvalue: Of one effect for all, by chi-square.
        pvalue: The same by Welch's F, which small levels do not fool: the one to read.
        pvalue_adjusted: Corrected over all dimensions.
        differs: Whether the corrected one is at most alpha and the dimension was declared.
        left_out: Levels that could not be read, and why.
    """

    name: str
    is_declared: bool
    levels: tuple[Level, ...]
    q: float
    q_pvalue: float
    pvalue: float
    pvalue_adjusted: float
    differs: bool
    left_out: Mapping[str, str]
    watermark: str


def heterogeneity(
    dimensions: Mapping[str, Mapping[str, Estimates]],
    *,
    declared: Collection[str],
    alpha: float = 0.05,
) -> tuple[Dimension, ...]:
    """Test each dimension's levels for different effects.

    Args:
        dimensions: Per dimension, per level, the two means (adjusted or not) of its units.
        declared: Dimensions named in the plan before the start. The others are corrected apart, so
            that curiosity costs the plan nothing.
    Raises:
        DataError: If a dimension has fewer than two levels that vary.
    """
    found = {name: _tested(name, levels, alpha) for name, levels in dimensions.items()}
    result: dict[str, Dimension] = {}
    for is_declared in (True, False):
        names = [name for name in found if (name in declared) is is_declared]
        corrected = adjusted_pvalues([found[name].pvalue for name in names], correction="bh")
        for name, pvalue in zip(names, corrected, strict=True):
            assert pvalue is not None
            draft = found[name]
            result[name] = Dimension(
                name=name,
                is_declared=is_declared,
                levels=draft.levels,
                q=draft.q,
                q_pvalue=draft.q_pvalue,
                pvalue=draft.pvalue,
                pvalue_adjusted=pvalue,
                differs=is_declared and pvalue <= alpha,
                left_out=draft.left_out,
                watermark="" if is_declared else EXPLORATORY,
            )
    return tuple(result[name] for name in dimensions)


@dataclass(frozen=True)
class _Draft:
    levels: tuple[Level, ...]
    q: float
    q_pvalue: float
    pvalue: float
    left_out: Mapping[str, str]


def _tested(name: str, levels: Mapping[str, Estimates], alpha: float) -> _Draft:
    left_out: dict[str, str] = {}
    kept: dict[str, Estimates] = {}
    for level, estimates in levels.items():
        if min(estimates.n_control, estimates.n_treatment) < 2:
            left_out[level] = "fewer than 2 units in a variant"
        elif estimates.difference_variance == 0:
            left_out[level] = "nothing varies among its units"
        else:
            kept[level] = estimates
    if len(kept) < 2:
        why = "; ".join(f"{level}: {reason}" for level, reason in left_out.items())
        raise DataError(
            f"dimension {name!r} has {len(kept)} level{'s'[: len(kept) != 1]} that"
            f" var{'y' if len(kept) != 1 else 'ies'}; at least 2 are needed"
            + (f" ({why})" if why else "")
        )
    effects = [PastEffect.of(level, estimates) for level, estimates in kept.items()]
    all_alike = pooled(effects, method="fixed")
    return _Draft(
        levels=_levels(kept, effects, alpha),
        q=all_alike.q,
        q_pvalue=chi_square_tail(all_alike.q, degrees_of_freedom=len(kept) - 1),
        pvalue=_welch_pvalue(all_alike.q, kept),
        left_out=left_out,
    )


def _welch_pvalue(q: float, levels: Mapping[str, Estimates]) -> float:
    """Welch's F: Q with weights that are themselves estimates.

    For two levels it is the t-test of their difference with Satterthwaite's degrees of freedom.
    """
    from scipy import special

    weights = [1 / it.difference_variance for it in levels.values()]
    freedoms = [max(it.degrees_of_freedom, 1.0) for it in levels.values()]
    total, n = sum(weights), len(weights)
    doubt = sum(
        (1 - weight / total) ** 2 / freedom
        for weight, freedom in zip(weights, freedoms, strict=True)
    )
    if doubt == 0:
        return chi_square_tail(q, degrees_of_freedom=n - 1)
    statistic = q / (n - 1) / (1 + 2 * (n - 2) / (n**2 - 1) * doubt)
    return float(special.fdtrc(n - 1, (n**2 - 1) / (3 * doubt), statistic))


def _levels(
    kept: Mapping[str, Estimates], effects: list[PastEffect], alpha: float
) -> tuple[Level, ...]:
    tau2 = between_variance(effects)
    centre = pooled(effects)
    z = normal_quantile(1 - alpha / 2)
    found = []
    for pull in shrunk(effects, tau2=tau2, centre=centre.mean):
        estimates = kept[pull.name]
        test = welch(estimates, alpha=alpha)
        # The centre is an estimate too: what is not kept of the level comes with its noise.
        radius = z * sqrt(pull.variance + ((1 - pull.kept_share) * centre.std_error) ** 2)
        found.append(
            Level(
                level=pull.name,
                n_control=estimates.n_control,
                n_treatment=estimates.n_treatment,
                lift_abs=absolute_lift(estimates, critical=test.critical),
                lift_rel=relative_lift(estimates, critical=test.critical),
                pvalue=test.pvalue,
                pulled=Interval(pull.estimate, pull.estimate - radius, pull.estimate + radius),
                kept_share=pull.kept_share,
            )
        )
    return tuple(found)
