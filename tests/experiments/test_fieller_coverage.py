"""Fieller's relative interval on spend where 99 of 100 spend nothing, beside the naive division."""

import numpy as np
import pytest

from experiments.evidence.compare import relative_lift, welch
from tests.experiments.data import hillstrom
from tests.experiments.estimation_runs import (
    BUYERS_SHARE,
    MEAN_LOG,
    SPREAD_LOG,
    plain_estimates,
    relative_coverage,
)
from tests.rig.sizes import scaled


@pytest.mark.parametrize("lift", [0.0, 0.5, 1.0])
def test_fieller_covers_a_lift_of_sparse_spend_as_often_as_it_says(lift):
    rng = np.random.default_rng(1)

    fieller, naive = relative_coverage(
        rng, runs=scaled(4_000), n_control=21_000, n_treatment=21_000, lift=lift
    )

    # 95 % +/- 1 %; binomial error of 4,000 runs is .0034.
    assert fieller == pytest.approx(0.95, abs=0.01)
    # The naive interval forgets the control's own noise, which counts more the larger the lift.
    if lift == 1.0:
        assert naive < 0.89


def test_the_generated_spend_looks_like_hillstroms():
    real = hillstrom()["No E-Mail"]["spend"]

    buyers = real[real > 0]

    assert buyers.size / real.size == pytest.approx(BUYERS_SHARE, rel=0.5)
    assert buyers.mean() == pytest.approx(np.exp(MEAN_LOG + SPREAD_LOG**2 / 2), rel=0.25)
    assert np.log(buyers).std() == pytest.approx(SPREAD_LOG, rel=0.25)


def test_fieller_covers_the_lift_between_halves_of_hillstroms_buyers():
    # The real values themselves: resampled variants of the whole experiment, a known lift of 40 %.
    real = np.concatenate([columns["spend"] for columns in hillstrom().values()])
    rng = np.random.default_rng(2)
    runs, n, lift, covered = scaled(1_500), 20_000, 0.4, 0
    buyers = real[real > 0]
    share, truth = buyers.size / real.size, lift

    for _ in range(runs):
        pair = []
        for factor in (1.0, 1 + lift):
            spends = rng.choice(buyers, rng.binomial(n, share)) * factor
            mean = spends.sum() / n
            pair.append((mean, ((spends**2).sum() - n * mean**2) / (n - 1)))
        found = plain_estimates(*pair, n, n)
        interval = relative_lift(found, critical=welch(found, alpha=0.05).critical)
        covered += interval.ci_lower <= truth <= interval.ci_upper

    # Binomial error of 1,500 runs is .0056: +/- 1 % and some room for it.
    assert covered / runs == pytest.approx(0.95, abs=0.016)
