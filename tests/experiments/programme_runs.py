"""Seeded simulations of many experiments together and of planned sizes, for the docs' table."""

from functools import partial
from itertools import combinations

import numpy as np

from experiments.estimation.cuped import unadjusted
from experiments.estimation.estimates import Estimates
from experiments.estimation.ratio import Moments
from experiments.evidence.compare import welch
from experiments.metrics import Metric
from experiments.programme.heterogeneity import heterogeneity
from experiments.programme.holdout import additivity, holdout_estimates, total_impact
from experiments.programme.interactions import Pair, interactions
from experiments.programme.meta import PastEffect, between_variance, pooled, shrunk
from experiments.programme.novelty import novelty
from experiments.programme.reconcile import Part, reconcile
from experiments.sizing.power import Design, Outcome, sample_size
from experiments.sums.aggregates import Aggregates
from tests.experiments.simulation import Simulation

SPEND = Metric(name="spend")
ALPHA = 0.05
Rng = np.random.Generator


def moments_of(values: np.ndarray) -> Moments:
    return Moments(len(values), float(values.mean()), float(values.var(ddof=1)))


def sums_of(**columns: np.ndarray) -> Aggregates:
    """As `Aggregates.from_columns`, by numpy: a simulation makes thousands."""
    values = np.array(list(columns.values()))
    means = values.mean(axis=1)
    centred = values - means[:, None]
    moments = (centred @ centred.T).tolist()
    return Aggregates(
        values.shape[1], tuple(columns), tuple(means.tolist()), tuple(map(tuple, moments))
    )


# --- interactions --------------------------------------------------------------------------------


def pairs_of(rng: Rng, *, experiments: int) -> list[Pair]:
    """All pairs of experiments that run on the same people and leave each other alone."""
    arms = rng.integers(0, 2, (experiments, 1_000))
    spend = rng.gamma(0.5, 20, 1_000) + 0.5 * arms.sum(axis=0)
    return [
        Pair(
            f"{i}", f"{j}", ("0", "0"), SPEND,
            {
                (f"{a}", f"{b}"): sums_of(spend=spend[(arms[i] == a) & (arms[j] == b)])
                for a in (0, 1)
                for b in (0, 1)
            },
        )
        for i, j in combinations(range(experiments), 2)
    ]  # fmt: skip


def pair_alarms(rng: Rng, runs: int) -> float:
    """One pair, read alone."""
    found = [interactions(pairs_of(rng, experiments=2))[0].pvalue for _ in range(runs)]
    return float(np.mean([it is not None and it <= ALPHA for it in found]))


def scan_alarms(rng: Rng, runs: int, *, corrected: bool) -> float:
    """Scans of 28 pairs in which any is called interacting."""
    alarms = 0
    for _ in range(runs):
        found = interactions(pairs_of(rng, experiments=8))
        alarms += any(
            it.interacts if corrected else it.pvalue is not None and it.pvalue <= ALPHA
            for it in found
        )
    return alarms / runs


# --- novelty -------------------------------------------------------------------------------------

AGES = {f"week {i}": 7 * i + 3.5 for i in range(6)}


def steady_called_fading(rng: Rng, runs: int, *, by: str) -> float:
    """A steady effect on people of lasting habits, called changing."""
    alarms = 0
    for _ in range(runs):
        sides = []
        for effect in (0.0, 0.5):
            habit = rng.gamma(1.0, 2.0, 400)
            weeks = {it: rng.poisson(habit) + effect + rng.normal(0, 1, 400) for it in AGES}
            sides.append(sums_of(**weeks))
        found = novelty(*sides, ages=AGES)
        trend = found.slope if by == "slope" else found.early_against_late
        alarms += trend.pvalue is not None and trend.pvalue <= ALPHA
    return alarms / runs


# --- meta-analysis and winners -------------------------------------------------------------------


def past_effects(
    rng: Rng, n: int, *, mean: float, tau: float
) -> tuple[list[PastEffect], np.ndarray]:
    variances = rng.uniform(0.05, 0.5, n)
    truth = rng.normal(mean, tau, n)
    seen = rng.normal(truth, np.sqrt(variances))
    effects = [
        PastEffect(f"{i}", float(value), float(variance))
        for i, (value, variance) in enumerate(zip(seen, variances, strict=True))
    ]
    return effects, truth


def mean_effect_covered(rng: Rng, runs: int, *, method: str) -> float:
    """Eight experiments whose effects differ: the interval of their mean holds it."""
    covered = 0
    for _ in range(runs):
        effects, _ = past_effects(rng, 8, mean=0.3, tau=0.5)
        if method == "fixed":
            interval = pooled(effects, method="fixed").interval_normal(alpha=ALPHA)
        else:
            interval = pooled(effects).interval(alpha=ALPHA)
        assert interval.ci_lower is not None
        assert interval.ci_upper is not None
        covered += interval.ci_lower <= 0.3 <= interval.ci_upper
    return covered / runs


def winner_too_high(rng: Rng, runs: int, *, pulled: bool) -> float:
    """The best-looking of thirty experiments promises more than is true."""
    high = 0
    for _ in range(runs):
        effects, truth = past_effects(rng, 30, mean=0.0, tau=0.5)
        if pulled:
            found = shrunk(effects, tau2=between_variance(effects, around=0.0))
            shown = [it.estimate for it in found]
        else:
            shown = [it.estimate for it in effects]
        best = int(np.argmax(shown))
        high += shown[best] > truth[best]
    return high / runs


def sum_of_winners_differs(rng: Rng, runs: int, *, plain: bool) -> float:
    """A holdout that measures exactly what the shipped winners bring, and yet seems to differ."""
    differs = 0
    for _ in range(runs):
        effects, truth = past_effects(rng, 30, mean=0.0, tau=0.5)
        shipped = [it.estimate > 1.64 * it.variance**0.5 for it in effects]
        if not any(shipped):
            continue
        noise = 2.0
        total = float(truth[np.array(shipped)].sum()) * 100
        seen = rng.normal(total, noise * 100)
        whole = total_impact(Estimates(0, seen / 100, 0, noise**2, 0, noise**2, 100, 100, 10_000.0))
        found = reconcile(
            whole,
            [
                Part(effect=it, n_units=100, is_shipped=ships)
                for it, ships in zip(effects, shipped, strict=True)
            ],
        )
        if plain:
            assert found.raw.ci_upper is not None
            assert found.raw.estimate is not None
            error = np.hypot((found.raw.ci_upper - found.raw.estimate) / 1.96, noise * 100)
            differs += abs(seen - found.raw.estimate) > 1.96 * error
        else:
            differs += found.pvalue <= ALPHA
    return differs / runs


# --- holdouts ------------------------------------------------------------------------------------


def total_covered(rng: Rng, runs: int) -> float:
    """A holdout of one in twenty, adjusted by what people spent before, holds the true total."""
    metric = Metric(name="spend", covariates=("before",))
    covered = 0
    for _ in range(runs):
        before = rng.gamma(2, 10, 6_000)
        held = rng.random(6_000) < 0.05
        spend = before + rng.gamma(0.5, 10, 6_000) + np.where(held, 0.0, 2.0)
        sides = (sums_of(spend=spend[it], before=before[it]) for it in (held, ~held))
        found = total_impact(holdout_estimates(*sides, metric), alpha=ALPHA).total
        assert found.ci_lower is not None
        assert found.ci_upper is not None
        covered += found.ci_lower <= 2.0 * int((~held).sum()) <= found.ci_upper
    return covered / runs


def parts_called_interacting(rng: Rng, runs: int) -> float:
    """Two programmes inside a global holdout that leave each other alone."""
    alarms = 0
    for _ in range(runs):
        silent = rng.random(2_000) < 0.1
        treated = rng.random((2, 2_000)) >= 0.1
        spend = rng.normal(10, 3, 2_000) + np.where(silent, 0, 0.5 * treated[0] + 0.8 * treated[1])
        whole, *parts = (
            total_impact(
                holdout_estimates(sums_of(spend=spend[no]), sums_of(spend=spend[yes]), SPEND)
            )
            for no, yes in (
                (silent, ~silent),
                *((~silent & ~side, ~silent & side) for side in treated),
            )
        )
        pvalue = additivity(whole, parts).pvalue
        alarms += pvalue is not None and pvalue <= ALPHA
    return alarms / runs


# --- segments and sizes --------------------------------------------------------------------------


def alike_called_different(rng: Rng, runs: int, *, by: str) -> float:
    """Six small segments with one effect."""
    alarms = 0
    for _ in range(runs):
        levels = {
            f"{i}": unadjusted(*(moments_of(rng.normal(10, 2, 12)) for _ in range(2)))
            for i in range(6)
        }
        (found,) = heterogeneity({"country": levels}, declared=["country"])
        alarms += (found.pvalue if by == "f" else found.q_pvalue) <= ALPHA
    return alarms / runs


def planned_lift_found(rng: Rng, runs: int) -> float:
    """Conversion experiments of the size planned for a power of 80 %."""
    design = Design(control_share=0.3)
    size = sample_size(Outcome.proportion(0.1), lift=0.3, design=design)
    found = 0
    for _ in range(runs):
        shares = [
            rng.binomial(n, share) / n for n, share in ((size.control, 0.1), (size.treatment, 0.13))
        ]
        estimates = unadjusted(
            *(
                Moments(n, share, share * (1 - share) * n / (n - 1))
                for n, share in zip((size.control, size.treatment), shares, strict=True)
            )
        )
        pvalue = welch(estimates, alpha=ALPHA).pvalue
        found += pvalue is not None and pvalue <= ALPHA
    return found / runs


SIMULATIONS = (
    Simulation("interactions", "one pair that does not interact", 0.04, 0.06, 500, pair_alarms),
    Simulation(
        "interactions", "any of 28 pairs that do not interact", 0, 0.055, 100,
        partial(scan_alarms, corrected=True),
    ),
    Simulation(
        "interactions", "any of 28 pairs, uncorrected", 0.3, 1, 50,
        partial(scan_alarms, corrected=False), is_shortcut=True,
    ),
    Simulation(
        "novelty", "steady effect called fading, slope", 0.04, 0.06, 400,
        partial(steady_called_fading, by="slope"),
    ),
    Simulation(
        "novelty", "steady effect called fading, early against late", 0.04, 0.06, 400,
        partial(steady_called_fading, by="early"),
    ),
    Simulation(
        "segments", "six alike segments of 12 units called different", 0.04, 0.06, 500,
        partial(alike_called_different, by="f"),
    ),
    Simulation(
        "segments", "the same by chi-square", 0.065, 1, 500,
        partial(alike_called_different, by="q"), is_shortcut=True,
    ),
    Simulation(
        "meta-analysis", "mean of eight experiments covered", 0.935, 0.965, 1_000,
        partial(mean_effect_covered, method="random"),
    ),
    Simulation(
        "meta-analysis", "the same as if all effects were one", 0, 0.85, 1_000,
        partial(mean_effect_covered, method="fixed"), is_shortcut=True,
    ),
    Simulation(
        "meta-analysis", "best of thirty shown too high, shrunk", 0.45, 0.57, 500,
        partial(winner_too_high, pulled=True),
    ),
    Simulation(
        "meta-analysis", "best of thirty shown too high, as measured", 0.8, 1, 500,
        partial(winner_too_high, pulled=False), is_shortcut=True,
    ),
    Simulation(
        "programme", "shipped winners differ from a true holdout, shrunk", 0, 0.07, 1_000,
        partial(sum_of_winners_differs, plain=False),
    ),
    Simulation(
        "programme", "shipped winners differ from a true holdout, added up", 0.1, 1, 500,
        partial(sum_of_winners_differs, plain=True), is_shortcut=True,
    ),
    Simulation("programme", "total impact covered, adjusted", 0.935, 0.965, 1_000, total_covered),
    Simulation(
        "programme", "programmes that only add up called interacting", 0.04, 0.06, 500,
        parts_called_interacting,
    ),
    Simulation("sizing", "planned lift found at 80 % power", 0.78, 0.82, 2_000, planned_lift_found),
)  # fmt: skip
