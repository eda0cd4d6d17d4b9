"""Several regions with coins of their own: the mean of their effects, and whose coins they were."""

from itertools import product

import numpy as np
import pytest

from experiments.errors import DataError
from experiments.estimation.switchback import switchback
from experiments.estimation.switchback_regions import (
    Region,
    is_treated,
    schedule,
    switchback_regions,
)
from experiments.evidence.compare import welch
from tests.rig.sizes import scaled


def market(rng, names, *, n=24, every=1, lift=0.0, lingers=0.0):
    """Regions of different levels; a coin decides, and the period before may still be felt."""
    found = {}
    for place, name in enumerate(names):
        coins = rng.integers(0, 2, -(-n // every)).repeat(every)[:n]
        before = np.concatenate([[0], coins[:-1]])
        outcomes = place + rng.normal(0, 1, n) + lift * coins + lingers * before
        found[name] = Region(outcomes.tolist(), coins.tolist())
    return found


def read(regions, *, n=24, every=1, order=0, seed=1, alpha=0.05):
    return switchback_regions(
        regions, starts=tuple(range(0, n, every)), order=order, alpha=alpha,
        rng=np.random.default_rng(seed),
    )  # fmt: skip


def test_one_region_is_the_switchback_itself():
    rng = np.random.default_rng(2)
    regions = market(rng, [""], every=2, lift=1.0)
    (only,) = regions.values()

    found = read(regions, every=2, order=1)

    alone = switchback(
        only.outcomes, only.treated, starts=tuple(range(0, 24, 2)), order=1, alpha=0.05,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.estimates.treatment == alone.estimates.treatment
    assert found.estimates.difference_variance == alone.estimates.difference_variance
    assert found.randomization_pvalue == pytest.approx(alone.randomization_pvalue, abs=1e-12)
    assert found.n_washout == alone.n_washout


def test_regions_are_averaged_and_their_variances_add():
    rng = np.random.default_rng(3)
    regions = market(rng, "abc", lift=1.0)

    found = read(regions)

    each = [it.estimates for it in found.each.values()]
    gaps = [it.treatment - it.control for it in each]
    assert found.estimates.treatment - found.estimates.control == pytest.approx(np.mean(gaps))
    expected = sum(it.difference_variance for it in each) / 9
    assert found.estimates.difference_variance == pytest.approx(expected)
    assert found.estimates.degrees_of_freedom == 3 * 23
    assert sum(found.n_coins.values()) == 3 * 24


def test_few_coins_are_thrown_anew_in_every_way_over_all_regions():
    rng = np.random.default_rng(4)
    regions = market(rng, "ab", n=6, every=2, lift=2.0)

    found = read(regions, n=6, every=2)

    def effect(coins):
        total = 0.0
        for place, it in enumerate(regions.values()):
            row = np.repeat(coins[3 * place : 3 * place + 3], 2)
            total += (np.where(row == 1, 2.0, -2.0) * np.array(it.outcomes)).mean()
        return abs(total)

    played = [it.treated[start] for it in regions.values() for start in (0, 2, 4)]
    ways = [effect(np.array(it)) for it in product((0, 1), repeat=6)]
    by_hand = np.mean([it >= effect(np.array(played)) - 1e-9 for it in ways])
    assert found.randomization_pvalue == pytest.approx(by_hand, abs=1e-12)


@pytest.mark.parametrize(("order", "lingers"), [(0, 0.0), (1, 1.5)])
def test_without_an_effect_regions_are_called_different_no_more_than_they_may(order, lingers):
    """And with one that lingers, the whole of it is found, if that was declared."""
    rng = np.random.default_rng(5)
    runs, by_t, anew, effects, held = scaled(40), 0, 0, [], 0
    for _ in range(runs):
        silent = read(market(rng, "abc", every=2), every=2, order=order)
        by_t += welch(silent.estimates, alpha=0.05).pvalue <= 0.05
        anew += silent.randomization_pvalue <= 0.05
        it = read(market(rng, "abc", every=2, lift=1.0, lingers=lingers), every=2, order=order)
        gap = it.estimates.treatment - it.estimates.control
        effects.append(gap)
        radius = welch(it.estimates, alpha=0.05).critical * it.estimates.difference_variance**0.5
        held += abs(gap - 1.0 - lingers) <= radius
    limit = 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    assert by_t / runs <= limit  # Conservative: the variance is an upper bound.
    assert anew / runs <= limit
    error = np.std(effects) / runs**0.5
    assert np.mean(effects) == pytest.approx(1.0 + lingers, abs=4 * error)
    assert held / runs >= 0.95 - 3 * (0.05 * 0.95 / runs) ** 0.5


def test_the_schedule_is_the_seeds_and_its_coins_are_fair_and_apart():
    found = schedule("couriers", regions=("north", "south"), n_periods=2_000, starts=range(2_000))

    again = schedule("couriers", regions=("south",), n_periods=50, starts=range(0, 50, 5))
    north, south = np.array(found["north"]), np.array(found["south"])
    assert again["south"][0] == found["south"][0] == int(is_treated("couriers", "south", 0))
    assert [again["south"][i] for i in range(0, 50, 5)] == [
        int(is_treated("couriers", "south", i)) for i in range(0, 50, 5)
    ]
    assert all(again["south"][i] == again["south"][i - i % 5] for i in range(50))
    for row in (north, south):
        assert row.mean() == pytest.approx(0.5, abs=4 * 0.5 / 2_000**0.5)
        assert np.corrcoef(row[1:], row[:-1])[0, 1] == pytest.approx(0, abs=4 / 2_000**0.5)
    assert np.corrcoef(north, south)[0, 1] == pytest.approx(0, abs=4 / 2_000**0.5)


def test_regions_that_do_not_fit_are_refused_by_name():
    rng = np.random.default_rng(6)
    regions = market(rng, "ab")
    short = {**regions, "b": Region(regions["b"].outcomes[:20], regions["b"].treated[:20])}
    lost = {**regions, "b": Region([float("nan"), *regions["b"].outcomes[1:]],
                                   regions["b"].treated)}  # fmt: skip

    with pytest.raises(DataError, match="all need the same"):
        read(short)
    with pytest.raises(DataError, match="region b: period 0"):
        read(lost)


def test_a_region_without_a_treated_period_is_told_of():
    outcomes = [1.0, 2.0, 3.0, 4.0]
    regions = {"a": Region(outcomes, [1, 0, 1, 0]), "b": Region(outcomes, [0, 0, 0, 0])}

    found = read(regions, n=4)

    assert found.cautions == (
        "b: no period was wholly treated for 1 in a row: its mean of 0 is no measurement",
    )
