"""Bayesian comparisons: closed forms against gbstats' published ways of computing the same numbers.

Promised: at least 10 times as many. Run: python -m benchmarks.bayes [--seconds 1]

What is compared, each as a function of two arms' counts, means and variances:

two arms     ours: `posterior` (P(better), both expected losses, the interval).
             theirs: the published steps of GrowthBook's Bayesian engine (gbstats, its effect test
             and utils): posterior by precision weights, chance to win and interval from
             scipy.stats.norm, either risk from the mean of a truncated normal by
             scipy.stats.truncnorm, asked for four moments.
many pairs   ours: `posteriors` on arrays of 1,000 comparisons; theirs: the same one by one.
by draws     the same two-arm numbers by 100,000 Monte Carlo draws per arm, as is often published
             for this comparison; its error in P(better) is printed.
best of 10   ours: `chances_of_being_best`; theirs: 10,000 draws of all arms and the share in which
             each is largest, as gbstats' bandits do.
conversions  ours: `conversion_posterior`, exact; theirs: 100,000 draws of two beta posteriors.

gbstats itself pins numpy below 2 and cannot be installed beside this project, so its steps are
written out here from its published formulas, without its classes and checks: that favours it.
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from math import sqrt
from time import perf_counter

import numpy as np
from scipy import stats

from experiments.estimation.estimates import Estimates
from experiments.evidence.bayes import posterior, posteriors
from experiments.evidence.best import chances_of_being_best
from experiments.evidence.beta_binomial import conversion_posterior

TIMES_FASTER_MIN = 10.0
CONTROL, TREATMENT = (10_000, 1.00, 9.0), (10_000, 1.05, 9.4)
DRAWS = 100_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.0f}")  # fmt: skip
    rng = np.random.default_rng(1)
    agree(rng)
    means, errors = list(rng.normal(1, 0.03, 10)), [0.03] * 10
    pairs = [
        ("two arms", ours, published, 1),
        ("many pairs", many, published, 1_000),
        ("by draws", ours, lambda: by_draws(rng), 1),
        (
            "best of 10",
            lambda: chances_of_being_best(means, errors),
            lambda: best_by_draws(rng, means, errors),
            1,
        ),
        (
            "conversions",
            lambda: conversion_posterior(control=(40, 1_000), treatment=(55, 1_000)),
            lambda: conversions_by_draws(rng),
            1,
        ),
    ]
    worst = float("inf")
    for name, fast, slow, each in pairs:
        rate = per_second(fast, arguments.seconds) * each
        other = per_second(slow, arguments.seconds)
        worst = min(worst, rate / other)
        print(f"{name:12} ours {rate:12,.0f} /s   theirs {other:10,.0f} /s   {rate / other:8,.1f}x")
    print(f"slowest ratio {worst:.1f}, promised {TIMES_FASTER_MIN:.0f}")
    return 0 if worst >= TIMES_FASTER_MIN else 1


def per_second(work: Callable[[], object], seconds: float) -> float:
    """Calls a second, after one call to warm up."""
    work()
    n, started = 0, perf_counter()
    while (passed := perf_counter() - started) < seconds:
        work()
        n += 1
    return n / passed


def ours() -> object:
    (n_c, mean_c, var_c), (n_t, mean_t, var_t) = CONTROL, TREATMENT
    v_c, v_t = var_c / n_c, var_t / n_t
    estimates = Estimates(mean_c, mean_t, v_c, v_t, 0.0, v_c + v_t, n_c, n_t, float(n_c + n_t - 2))
    return posterior(estimates)


_DIFFERENCES = np.random.default_rng(2).normal(0.05, 0.04, 1_000)
_VARIANCES = np.full(1_000, (9.0 + 9.4) / 10_000)


def many() -> object:
    return posteriors(_DIFFERENCES, _VARIANCES)


def published() -> tuple[float, list[float], float, float]:
    """Chance to win, interval, and both risks, the published way."""
    (n_c, mean_c, var_c), (n_t, mean_t, var_t) = CONTROL, TREATMENT
    effect, variance = mean_t - mean_c, var_t / n_t + var_c / n_c
    prior_mean, prior_variance, proper = 0.0, 1.0, False
    precision = 1 / variance + int(proper) / prior_variance
    mean = (effect / variance + int(proper) * prior_mean / prior_variance) / precision
    deviation = sqrt(1 / precision)
    chance = float(stats.norm.sf(0, mean, deviation))
    interval = stats.norm.ppf([0.025, 0.975], mean, deviation).tolist()
    below = float(stats.norm.cdf(0, mean, deviation))
    loss = -below * truncated_mean(mean, deviation, -np.inf, 0)
    loss_of_control = (1 - below) * truncated_mean(mean, deviation, 0, np.inf)
    return chance, interval, loss, loss_of_control


def truncated_mean(mean: float, deviation: float, low: float, high: float) -> float:
    ends = (low - mean) / deviation, (high - mean) / deviation
    moments = stats.truncnorm.stats(*ends, loc=mean, scale=deviation, moments="mvsk")
    return float(moments[0])


def by_draws(rng: np.random.Generator) -> tuple[float, float, float]:
    (n_c, mean_c, var_c), (n_t, mean_t, var_t) = CONTROL, TREATMENT
    control = rng.normal(mean_c, sqrt(var_c / n_c), DRAWS)
    difference = rng.normal(mean_t, sqrt(var_t / n_t), DRAWS) - control
    return (
        float(np.mean(difference > 0)),
        float(np.mean(np.maximum(-difference, 0))),
        float(np.mean(np.maximum(difference, 0))),
    )


def best_by_draws(rng: np.random.Generator, means: list[float], errors: list[float]) -> list[float]:
    draws = rng.multivariate_normal(means, np.diag(np.square(errors)), size=10_000)
    return list(np.bincount(draws.argmax(axis=1), minlength=len(means)) / 10_000)


def conversions_by_draws(rng: np.random.Generator) -> tuple[float, float]:
    control, treatment = rng.beta(41, 961, DRAWS), rng.beta(56, 946, DRAWS)
    return (
        float(np.mean(treatment > control)),
        float(np.mean(np.maximum(control - treatment, 0))),
    )


def agree(rng: np.random.Generator) -> None:
    """All ways give one answer, or nothing is timed."""
    (n_c, mean_c, var_c), (n_t, mean_t, var_t) = CONTROL, TREATMENT
    v_c, v_t = var_c / n_c, var_t / n_t
    found = posterior(Estimates(mean_c, mean_t, v_c, v_t, 0, v_c + v_t, n_c, n_t, 19_998.0))
    assert found is not None
    chance, interval, loss, loss_of_control = published()
    assert abs(found.p_better - chance) < 1e-12
    assert abs(found.expected_loss - loss) < 1e-9
    assert abs(found.expected_loss_of_control - loss_of_control) < 1e-9
    assert found.credible.ci_lower is not None
    assert abs(found.credible.ci_lower - interval[0]) < 1e-9
    error = abs(by_draws(rng)[0] - found.p_better)
    print(f"draws miss P(better) = {found.p_better:.6f} by {error:.1e}; the closed form by nothing")


if __name__ == "__main__":
    sys.exit(main())
