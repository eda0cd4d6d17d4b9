"""What everything together was worth."""

import numpy as np
import pytest

from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import normal, relative_lift, welch
from experiments.evidence.sequential import always_valid
from experiments.metrics import Metric
from experiments.programme.holdout import (
    additivity,
    holdout_estimates,
    impact_by,
    total_impact,
)
from experiments.sums.aggregates import Aggregates

SPEND = Metric(name="spend", covariates=("before",))
PLAIN = Metric(name="spend")


def a_world(
    seed: int, *, n: int = 4_000, held_share: float = 0.05, lift: float = 2.0
) -> tuple[Aggregates, Aggregates]:
    """(held out, treated), where past spend explains much and treatment adds `lift` each."""
    rng = np.random.default_rng(seed)
    before = rng.gamma(2, 10, n)
    held = rng.random(n) < held_share
    spend = before + rng.normal(0, 5, n) + np.where(held, 0.0, lift)
    return (
        Aggregates.from_columns({"spend": spend[held], "before": before[held]}),
        Aggregates.from_columns({"spend": spend[~held], "before": before[~held]}),
    )


def test_the_total_uses_every_treated_unit_and_the_variances_of_both_sides() -> None:
    held, treated = a_world(1)

    found = total_impact(holdout_estimates(held, treated, PLAIN))

    gap = treated.mean("spend") - held.mean("spend")
    error = np.sqrt(treated.variance("spend") / treated.n + held.variance("spend") / held.n)
    assert found.n_treated == treated.n
    assert found.total.estimate == pytest.approx(treated.n * gap, rel=1e-12)
    assert found.total_std_error == pytest.approx(treated.n * error, rel=1e-12)
    assert found.per_unit.estimate == pytest.approx(gap, rel=1e-12)


def test_relative_total_and_absolute_say_the_same() -> None:
    held, treated = a_world(2)
    estimates = holdout_estimates(held, treated, PLAIN)

    found = total_impact(estimates, alpha=0.05)

    test = welch(estimates, alpha=0.05)
    assert found.relative == relative_lift(estimates, critical=test.critical)
    assert found.pvalue == test.pvalue
    assert (found.pvalue < 0.05) == (found.total.ci_lower > 0) == (found.relative.ci_lower > 0)


def test_past_spend_sharpens_the_total_and_covers_the_truth() -> None:
    covered = 0
    sharper = []
    for seed in range(200):
        held, treated = a_world(seed, n=1_000)
        plain = total_impact(holdout_estimates(held, treated, PLAIN))
        found = total_impact(holdout_estimates(held, treated, SPEND))
        sharper.append(found.total_std_error / plain.total_std_error)
        covered += found.per_unit.ci_lower <= 2.0 <= found.per_unit.ci_upper

    assert np.mean(sharper) < 0.5
    assert covered / 200 == pytest.approx(0.95, abs=0.04)


def test_other_evidence_widens_the_total_alike() -> None:
    estimates = holdout_estimates(*a_world(3), SPEND)

    once = total_impact(estimates)
    any_time = total_impact(
        estimates, evidence=lambda it: always_valid(it, alpha=0.05, planned_sample=4_000)
    )

    assert any_time.total.estimate == once.total.estimate
    assert any_time.total.ci_lower < once.total.ci_lower
    assert any_time.method == "asymptotic confidence sequence"


def test_periods_of_the_same_units_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(4)
    sides = []
    for n, lift in ((300, 0.0), (3_000, 1.0)):
        first, second = rng.gamma(2, 4, n) + lift, rng.gamma(2, 3, n)
        sides.append((first, second))
    (held_1, held_2), (treated_1, treated_2) = sides
    slices = [
        (label, *(Aggregates.from_columns({"spend": it}) for it in pair))
        for label, pair in (("first", (held_1, treated_1)), ("second", (held_2, treated_2)))
    ]

    parts = impact_by(slices, PLAIN)

    whole = total_impact(
        holdout_estimates(
            Aggregates.from_columns({"spend": held_1 + held_2}),
            Aggregates.from_columns({"spend": treated_1 + treated_2}),
            PLAIN,
        )
    )
    total = sum(part.impact.total.estimate for part in parts)
    assert total == pytest.approx(whole.total.estimate, rel=1e-9)


def test_a_slice_without_units_says_so() -> None:
    empty = Aggregates.empty(("spend",))
    some = Aggregates.from_columns({"spend": [1.0, 2.0, 3.0]})

    (found,) = impact_by([("week 9", empty, some)], PLAIN)

    assert found.impact is None
    assert found.why_not == "0 held-out and 3 treated units are too few"


def test_a_side_without_units_is_refused() -> None:
    some = Aggregates.from_columns({"spend": [1.0, 2.0, 3.0]})

    with pytest.raises(DataError, match="1 units are held out"):
        holdout_estimates(Aggregates.from_columns({"spend": [1.0]}), some, PLAIN)


def test_a_covariate_that_never_varies_leaves_the_plain_means() -> None:
    held = Aggregates.from_columns({"spend": [1.0, 2.0, 3.0, 4.0], "before": [0.0] * 4})
    treated = Aggregates.from_columns({"spend": [2.0, 2.0, 3.0, 5.0], "before": [0.0] * 4})

    assert holdout_estimates(held, treated, SPEND) == holdout_estimates(held, treated, PLAIN)


def simulated_programmes(
    rng: np.random.Generator, *, n: int, together: float
) -> tuple[float, float | None]:
    """(interaction, p) of two programmes inside a global holdout, on one population."""
    silent = rng.random(n) < 0.1
    in_a, in_b = (rng.random(n) >= 0.1 for _ in range(2))
    y = rng.normal(10, 3, n)
    y += np.where(silent, 0, 0.5 * in_a + 0.8 * in_b + together * (in_a & in_b))

    def impact_of(held: np.ndarray, treated: np.ndarray):
        sides = (Aggregates.from_columns({"spend": y[it]}) for it in (held, treated))
        return total_impact(holdout_estimates(*sides, PLAIN))

    whole = impact_of(silent, ~silent)
    parts = [impact_of(~silent & ~it, ~silent & it) for it in (in_a, in_b)]
    found = additivity(whole, parts)
    return found.interaction.estimate, found.pvalue


def test_programmes_that_do_not_touch_each_other_add_up_as_often_as_promised() -> None:
    rng = np.random.default_rng(5)

    pvalues = [simulated_programmes(rng, n=2_000, together=0.0)[1] for _ in range(500)]

    # This also holds the claim that the estimates are uncorrelated in spite of shared units.
    assert np.mean(np.array(pvalues) < 0.05) == pytest.approx(0.05, abs=0.025)


def test_programmes_that_reach_for_the_same_money_are_together_more_than_their_sum() -> None:
    rng = np.random.default_rng(6)

    # Either alone would bring its gain; the other then adds little. So each looks dispensable.
    overlap, overlap_pvalue = simulated_programmes(rng, n=40_000, together=-0.8)
    synergy, synergy_pvalue = simulated_programmes(rng, n=40_000, together=0.8)

    assert overlap > 0 > synergy
    assert max(overlap_pvalue, synergy_pvalue) < 0.001


def test_there_must_be_parts_to_add() -> None:
    whole = total_impact(Estimates(1, 2, 0.1, 0.1, 0, 0.2, 10, 10, 18))

    with pytest.raises(DataError, match="no part"):
        additivity(whole, [])


def test_nothing_varies_nothing_is_claimed() -> None:
    still = Estimates(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 10, 10, 18)

    found = total_impact(still, evidence=lambda it: normal(it, alpha=0.05))

    assert found.pvalue is None
    assert not found.total.is_bounded
    assert additivity(found, [found]).pvalue is None
