"""What the evidence promises, simulated: false alarms of every kind of test, used as it may be.

Outcomes are gamma with shape 0.3, skewed as spend is, unless only signs or counts matter. Each
promise stands beside the shortcut that breaks it.
"""

from functools import cache, partial
from math import sqrt

import numpy as np

from experiments.estimation.estimates import Estimates, satterthwaite
from experiments.evidence.boundaries import boundaries
from experiments.evidence.compare import normal, welch
from experiments.evidence.conversions import exact_conversions
from experiments.evidence.dunnett import dunnett
from experiments.evidence.equivalence import Margin, non_inferiority
from experiments.evidence.group_sequential import GroupSequentialPlan
from experiments.evidence.multiplicity import adjusted_pvalues
from experiments.evidence.sequential import always_valid, always_valid_one_sided
from experiments.evidence.spending import spending_from
from experiments.evidence.srm import sample_ratio
from experiments.evidence.stopped import final_estimate
from tests.experiments.simulation import Simulation

ALPHA = 0.05
EVEN = {"a": 1, "b": 1}
TIMES = (0.2, 0.4, 0.6, 0.8, 1.0)


def spends(rng, shape):
    return rng.gamma(0.3, 10.0, shape)


def of(n, means, variances):
    """Estimates of two arms of n units each."""
    v_c, v_t = float(variances[0]) / n, float(variances[1]) / n
    return Estimates(
        float(means[0]), float(means[1]), v_c, v_t, 0.0, v_c + v_t, n, n,
        satterthwaite((v_c, v_t), (n - 1, n - 1)),
    )  # fmt: skip


def a_a_fixed(rng, runs, *, n=1_500):
    fooled = 0
    for _ in range(runs):
        arms = spends(rng, (2, n))
        found = of(n, arms.mean(axis=1), arms.var(axis=1, ddof=1))
        fooled += welch(found, alpha=ALPHA).pvalue <= ALPHA
    return fooled / runs


def looked_at(rng, *, n, looks, lift=1.0):
    """Estimates at each of many looks at one growing pair of arms."""
    arms = spends(rng, (2, n))
    arms[1] *= lift
    ends = np.linspace(n // looks, n, looks).astype(int)
    sums, squares = arms.cumsum(axis=1)[:, ends - 1], (arms**2).cumsum(axis=1)[:, ends - 1]
    means = sums / ends
    variances = (squares - ends * means**2) / (ends - 1)
    return [of(int(m), means[:, i], variances[:, i]) for i, m in enumerate(ends)]


def a_a_watched(rng, runs, *, test, looks=100, n=4_000):
    fooled = 0
    for _ in range(runs):
        fooled += any(test(found).pvalue <= ALPHA for found in looked_at(rng, n=n, looks=looks))
    return fooled / runs


def as_bad_as_the_margin(rng, runs, *, looks=50, n=4_000):
    """A treatment 10 % worse, against a margin of 10 %: shown safe at any look?"""
    test = partial(always_valid_one_sided, planned_sample=2 * n)
    margin = Margin(0.1, relative=True)
    fooled = 0
    for _ in range(runs):
        fooled += any(
            non_inferiority(found, margin=margin, alpha=ALPHA, one_sided_test=test).is_shown
            for found in looked_at(rng, n=n, looks=looks, lift=0.9)
        )
    return fooled / runs


def paths(rng, runs, *, drift=0.0):
    """The statistic at five looks, of many experiments at once."""
    steps = rng.normal(0, 1, (runs, 5)) * np.sqrt(np.diff((0, *TIMES)))
    return (steps.cumsum(axis=1) + drift * np.array(TIMES)) / np.sqrt(TIMES)


def group_sequential_alarms(rng, runs, *, spending):
    function = spending_from(spending)
    limits = boundaries(TIMES, spent=[function.spent(t, alpha=ALPHA) for t in TIMES])
    return np.mean(np.any(np.abs(paths(rng, runs)) >= limits, axis=1))


def five_fixed_tests(rng, runs):
    return np.mean(np.any(np.abs(paths(rng, runs)) >= 1.959964, axis=1))


def stopped(rng, runs, *, drift):
    """After stopping by O'Brien-Fleming, per run: the look, its path, and the true drift."""
    plan = GroupSequentialPlan()
    limits = boundaries(TIMES, spent=[plan.spending.spent(t, alpha=ALPHA) for t in TIMES])
    for path in paths(rng, runs, drift=drift):
        at = next((i for i in range(5) if abs(path[i]) >= limits[i]), 4)
        looks = [
            Estimates(0.0, z / sqrt(t), 0.5 / t, 0.5 / t, 0.0, 1 / t, 500, 500, 998.0)
            for z, t in zip(path[: at + 1], TIMES, strict=False)
        ]
        yield looks, final_estimate(looks, plan=plan, fractions=TIMES[: at + 1])


def final_interval_covers(rng, runs, *, drift=2.5):
    held = [
        final.effect.ci_lower <= drift <= final.effect.ci_upper
        for _, final in stopped(rng, runs, drift=drift)
    ]
    return np.mean(held)


def final_estimate_too_high(rng, runs, *, drift=2.5):
    return np.mean([final.effect.estimate > drift for _, final in stopped(rng, runs, drift=drift)])


def plain_estimate_too_high(rng, runs, *, drift=2.5):
    return np.mean([looks[-1].treatment > drift for looks, _ in stopped(rng, runs, drift=drift)])


@cache
def conversions_fooled(hit, missed):
    found = exact_conversions((missed, 10**6), (hit, 10**6), treatment_share=0.5, alpha=ALPHA)
    return found.pvalue <= ALPHA


def few_conversions_watched(rng, runs, *, n=60):
    hits = (rng.random((runs, n)) < 0.5).cumsum(axis=1)
    return np.mean(
        [any(conversions_fooled(int(h), i + 1 - int(h)) for i, h in enumerate(run)) for run in hits]
    )


def sample_ratio_watched(rng, runs, *, watched, n=10_000, looks=100):
    alarms = 0
    for flips in rng.random((runs, n)) < 0.5:
        a = flips.cumsum()
        counts = [
            {"a": int(a[m - 1]), "b": int(m - a[m - 1])}
            for m in range(n // looks, n + 1, n // looks)
        ]
        options = {"weights": EVEN, "alarm_below": ALPHA, "planned_sample": n}
        if watched:
            last = sample_ratio(counts[-1], earlier=counts[:-1], watched=True, **options)
            alarms += not last.passed
        else:
            alarms += any(not sample_ratio(each, **options).passed for each in counts)
    return alarms / runs


def many_variants(rng, runs, *, correction, k=5, n=60):
    """Any false claim among five variants without effect."""
    fooled = 0
    for _ in range(runs):
        groups = rng.normal(0, 1, (k + 1, n))
        means, variances = groups.mean(axis=1), groups.var(axis=1, ddof=1)
        found = [of(n, (means[0], m), (variances[0], v)) for m, v in zip(means, variances)][1:]  # noqa: B905
        if correction == "dunnett":
            critical = many_variants_critical(k, n)
            zs = [(e.treatment - e.control) / sqrt(e.difference_variance) for e in found]
            fooled += max(map(abs, zs)) > critical
        else:
            pvalues = [welch(e, alpha=ALPHA).pvalue for e in found]
            fooled += min(adjusted_pvalues(pvalues, correction=correction)) <= ALPHA
    return fooled / runs


@cache
def many_variants_critical(k, n):
    """The estimated correlations all are near one half; its critical value hardly moves."""
    equal = Estimates(0.0, 0.0, 1.0, 1.0, 0.0, 2.0, n, n, 2.0 * n - 2)
    return dunnett([equal] * k, alpha=ALPHA)[0].critical


def sequential(found):
    return always_valid(found, alpha=ALPHA, planned_sample=8_000)


SIMULATIONS = (
    Simulation("fixed", "A/A on skewed spend, read once", 0.045, 0.055, 1_000, a_a_fixed),
    Simulation(
        "sequential", "A/A on skewed spend, 100 looks", 0, 0.05, 400,
        partial(a_a_watched, test=sequential),
    ),
    Simulation(
        "sequential", "fixed test at 100 looks", 0.2, 1, 100,
        partial(a_a_watched, test=partial(normal, alpha=ALPHA)), is_shortcut=True,
    ),
    Simulation(
        "sequential", "as bad as the margin, called safe at any of 50 looks", 0, 0.05, 300,
        as_bad_as_the_margin,
    ),
    Simulation(
        "sequential", "exact conversions, looked at after each of 60", 0, 0.05, 1_000,
        few_conversions_watched,
    ),
    Simulation(
        "group sequential", "A/A at five looks, O'Brien-Fleming", 0.045, 0.055, 20_000,
        partial(group_sequential_alarms, spending="obrien_fleming"),
    ),
    Simulation(
        "group sequential", "A/A at five looks, Pocock", 0.045, 0.055, 20_000,
        partial(group_sequential_alarms, spending="pocock"),
    ),
    Simulation(
        "group sequential", "fixed test at five looks", 0.1, 1, 20_000, five_fixed_tests,
        is_shortcut=True,
    ),
    Simulation(
        "group sequential", "final interval covers a true effect", 0.94, 0.96, 50,
        final_interval_covers,
    ),
    Simulation(
        "group sequential", "final estimate above the true effect", 0.48, 0.52, 50,
        final_estimate_too_high,
    ),
    Simulation(
        "group sequential", "plain estimate above the true effect", 0.52, 1, 50,
        plain_estimate_too_high, is_shortcut=True,
    ),
    Simulation(
        "sample ratio", "e-test at 5 %, 100 looks", 0, 0.05, 200,
        partial(sample_ratio_watched, watched=True),
    ),
    Simulation(
        "sample ratio", "chi-square at 5 %, 100 looks", 0.2, 1, 50,
        partial(sample_ratio_watched, watched=False), is_shortcut=True,
    ),
    Simulation(
        "multiplicity", "any false claim among five variants, Dunnett", 0.04, 0.055, 1_000,
        partial(many_variants, correction="dunnett"),
    ),
    Simulation(
        "multiplicity", "any false claim among five variants, Holm", 0, 0.05, 1_000,
        partial(many_variants, correction="holm"),
    ),
    Simulation(
        "multiplicity", "any false claim among five variants, uncorrected", 0.12, 1, 1_000,
        partial(many_variants, correction="none"), is_shortcut=True,
    ),
)  # fmt: skip
