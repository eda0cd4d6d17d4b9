"""Post-stratification: compare within strata, then weigh by how many units each holds.

Removes what strata explain of the outcome and any chance imbalance between variants. The estimate
is that of the regression on stratum indicators with interactions. Strata must be known before
exposure. Source: Miratrix, Sekhon, Yu (JRSS B 75, 2013).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from experiments.errors import DataError
from experiments.estimation.cuped import adjusted, unadjusted
from experiments.estimation.estimates import Estimates, satterthwaite
from experiments.estimation.ratio import linearized, weighted
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates, merged

UNITS_LEAST = 2
"""Units a variant needs in a stratum to show how they vary there."""

Pair = tuple[Aggregates, Aggregates]


@dataclass(frozen=True)
class Stratified:
    """Estimates as if both variants had the same mix of strata.

    Attributes:
        shares: Of all units, per stratum as compared; collapsed ones are named "a + b".
        notes: Which strata had to be collapsed, and why.
    """

    estimates: Estimates
    shares: dict[str, float]
    notes: tuple[str, ...]


def post_stratified(
    control: Mapping[str, Aggregates],
    treatment: Mapping[str, Aggregates],
    *,
    metric: Metric,
    covariates: tuple[str, ...] = (),
    adjust: Literal["lin", "pooled"] = "lin",
) -> Stratified:
    """Means of both variants at the pooled mix of strata.

    With w the pooled share of a stratum, N all units and V_a its variant's variance of the mean
    there: m_a = sum(w mean_a), Var(m_a) = sum(w**2 V_a) + sum(w (mean_a - m_a)**2) / N. The second
    term is there because the mix itself was sampled; it nearly cancels in the difference.

    Args:
        control, treatment: Stratum -> sums. A stratum absent from one of them is empty there.
        covariates: Adjusted for within each stratum.
    Raises:
        DataError: If a variant has fewer than two units in all.
    """
    strata, notes = _collapsed(control, treatment)
    n = sum(c.n + t.n for c, t in strata.values())
    shares = {name: (c.n + t.n) / n for name, (c, t) in strata.items()}
    mixes = [
        _mixed([pair[arm] for pair in strata.values()], list(shares.values()), metric)
        for arm in (0, 1)
    ]
    # A ratio is linearized around the ratio of the whole variant, not of each stratum: what is
    # combined is (y - R d) / mean(d), with mean 0, and R itself is where it is measured from.
    lines = [linearized(mix, metric) for mix in mixes]
    origins = [value if metric.kind == "ratio" else 0.0 for value, _ in lines]
    parts = [
        _within(pair, [weights for _, weights in lines], covariates, adjust)
        for pair in strata.values()
    ]
    return Stratified(_combined(parts, list(shares.values()), origins), shares, tuple(notes))


def _collapsed(
    control: Mapping[str, Aggregates], treatment: Mapping[str, Aggregates]
) -> tuple[dict[str, Pair], list[str]]:
    """Strata with enough units in both variants; those without are put together."""
    arms = (control, treatment)
    if any(sum(part.n for part in arm.values()) < UNITS_LEAST for arm in arms):
        raise DataError("a variant has fewer than two units in all its strata together")
    columns = next(iter(control.values())).columns
    empty = Aggregates.empty(columns)
    pairs = {
        name: (control.get(name, empty), treatment.get(name, empty))
        for name in sorted({*control, *treatment})
    }
    pairs = {name: pair for name, pair in pairs.items() if pair[0].n + pair[1].n > 0}
    poor = [name for name, pair in pairs.items() if _is_poor(pair)]
    if not poor:
        return pairs, []
    # The smallest good strata join until the rest is good itself; names decide between equals.
    spare = sorted(
        (name for name in pairs if name not in poor),
        key=lambda name: (pairs[name][0].n + pairs[name][1].n, name),
    )
    together = list(poor)
    while _is_poor(rest := _joined([pairs[name] for name in together])):
        together.append(spare.pop(0))
    named = " + ".join(together)
    found = {name: pair for name, pair in pairs.items() if name not in together}
    note = (
        f"strata {', '.join(together)} are compared as one: {', '.join(poor)}"
        f" {'has' if len(poor) == 1 else 'have'} fewer than {UNITS_LEAST} units in a variant"
    )
    return {**found, named: rest}, [note]


def _is_poor(pair: Pair) -> bool:
    return min(pair[0].n, pair[1].n) < UNITS_LEAST


def _joined(pairs: Sequence[Pair]) -> Pair:
    return merged(pair[0] for pair in pairs), merged(pair[1] for pair in pairs)


def _mixed(
    parts: Sequence[Aggregates], shares: Sequence[float], metric: Metric
) -> dict[str, float]:
    """A variant's means of the metric's columns at the pooled mix."""
    return {
        column: sum(share * part.mean(column) for part, share in zip(parts, shares, strict=True))
        for column in metric.value_columns
    }


def _within(
    pair: Pair,
    weights: Sequence[Mapping[str, float]],
    covariates: tuple[str, ...],
    adjust: Literal["lin", "pooled"],
) -> Estimates:
    """One stratum's comparison of the (linearized) outcome."""
    arms = [
        weighted(part, own, mean=_mean(part, own), covariates=covariates)
        for part, own in zip(pair, weights, strict=True)
    ]
    if not covariates:
        return unadjusted(arms[0], arms[1])
    whole = pair[0].merge(pair[1])
    total = weighted(whole, weights[0], mean=_mean(whole, weights[0]), covariates=covariates)
    return adjusted(arms[0], arms[1], total=total, adjust=adjust)


def _mean(part: Aggregates, weights: Mapping[str, float]) -> float:
    return sum(weight * part.mean(column) for column, weight in weights.items())


def _combined(
    parts: Sequence[Estimates], shares: Sequence[float], origins: Sequence[float]
) -> Estimates:
    """All strata together; an origin is what the linearized outcome is measured from."""
    n = sum(part.n_control + part.n_treatment for part in parts)

    def mixed(values: Sequence[float]) -> float:
        return sum(share * value for share, value in zip(shares, values, strict=True))

    def within(variances: Sequence[float]) -> float:
        return sum(s * s * variance for s, variance in zip(shares, variances, strict=True))

    def between(one: Sequence[float], other: Sequence[float]) -> float:
        centres = mixed(one), mixed(other)
        gaps = [(a - centres[0]) * (b - centres[1]) for a, b in zip(one, other, strict=True)]
        return mixed(gaps) / n

    controls = [part.control for part in parts]
    treatments = [part.treatment for part in parts]
    effects = [t - c for c, t in zip(controls, treatments, strict=True)]
    inside = [s * s * part.difference_variance for s, part in zip(shares, parts, strict=True)]
    return Estimates(
        control=origins[0] + mixed(controls),
        treatment=origins[1] + mixed(treatments),
        control_variance=within([part.control_variance for part in parts])
        + between(controls, controls),
        treatment_variance=within([part.treatment_variance for part in parts])
        + between(treatments, treatments),
        covariance=within([part.covariance for part in parts]) + between(controls, treatments),
        difference_variance=sum(inside) + between(effects, effects),
        n_control=sum(part.n_control for part in parts),
        n_treatment=sum(part.n_treatment for part in parts),
        degrees_of_freedom=satterthwaite(inside, [part.degrees_of_freedom for part in parts]),
    )
