"""Whether an effect wears off."""

import os

import numpy as np
import pytest

from experiments.errors import DataError
from experiments.programme.novelty import novelty, novelty_by_cohort
from experiments.sums.aggregates import Aggregates

SCALE = float(os.environ.get("ANTIPHON_TEST_SCALE", "1"))
AGES = {f"week {i + 1}": 7 * i + 3.5 for i in range(6)}


def a_side(
    rng: np.random.Generator, n: int, *, effects: list[float], level: float = 0.0
) -> Aggregates:
    """Units whose weeks resemble each other (a habit of their own), as sums."""
    habit = rng.gamma(1.0, 2.0, n)
    weeks = {
        name: rng.poisson(habit) + effect + level + rng.normal(0, 1, n)
        for name, effect in zip(AGES, effects, strict=True)
    }
    return Aggregates.from_columns(weeks)


def a_cohort(seed: int, *, n: int = 400, effects: list[float]) -> tuple[Aggregates, Aggregates]:
    rng = np.random.default_rng(seed)
    return a_side(rng, n, effects=[0.0] * 6), a_side(rng, n + 50, effects=effects)


def test_a_fading_effect_has_a_slope_below_zero_and_an_early_part_above_the_late() -> None:
    control, treatment = a_cohort(1, n=3_000, effects=[1.0, 0.8, 0.6, 0.4, 0.2, 0.0])

    found = novelty(control, treatment, ages=AGES)

    assert found.slope.interval.ci_upper < 0
    assert found.slope.interval.estimate == pytest.approx(-0.2 / 7, abs=0.01)
    assert found.early_against_late.interval.estimate == pytest.approx(0.6, abs=0.2)
    assert found.early_against_late.pvalue < 0.001
    assert len(found.effects) == 6


def test_the_slope_is_that_of_generalized_least_squares_by_statsmodels() -> None:
    from statsmodels.regression.linear_model import GLS

    control, treatment = a_cohort(2, effects=[0.5] * 6)

    found = novelty(control, treatment, ages=AGES)

    names = list(AGES)
    gaps = np.array([treatment.mean(it) - control.mean(it) for it in names])
    covariance = sum(
        np.array([[part.covariance(a, b) for b in names] for a in names]) / part.n
        for part in (control, treatment)
    )
    days = np.array(list(AGES.values()))
    design = np.column_stack([np.ones(6), days - days.mean()])
    oracle = GLS(gaps, design, sigma=covariance).fit()
    assert found.level.interval.estimate == pytest.approx(oracle.params[0], abs=1e-9)
    assert found.slope.interval.estimate == pytest.approx(oracle.params[1], abs=1e-9)
    # Statsmodels scales by the residuals; the covariance here is known, as it comes from the units.
    errors = oracle.bse / np.sqrt(oracle.scale)
    assert found.slope.std_error == pytest.approx(errors[1], rel=1e-9)


def test_early_against_late_is_the_difference_of_their_plain_means() -> None:
    control, treatment = a_cohort(3, effects=[0.5] * 6)

    found = novelty(control, treatment, ages=AGES)

    gaps = [treatment.mean(it) - control.mean(it) for it in AGES]
    expected = np.mean(gaps[:3]) - np.mean(gaps[3:])
    assert found.early_against_late.interval.estimate == pytest.approx(expected, abs=1e-12)


def test_a_steady_effect_is_called_fading_as_rarely_as_promised() -> None:
    runs = int(400 * SCALE)

    found = [novelty(*a_cohort(seed, n=200, effects=[0.5] * 6), ages=AGES) for seed in range(runs)]

    slopes = np.mean([it.slope.pvalue < 0.05 for it in found])
    halves = np.mean([it.early_against_late.pvalue < 0.05 for it in found])
    assert slopes == pytest.approx(0.05, abs=0.03)
    assert halves == pytest.approx(0.05, abs=0.03)


def test_an_effect_that_comes_and_goes_is_no_straight_line() -> None:
    control, treatment = a_cohort(4, n=3_000, effects=[0.0, 0.0, 1.0, 1.0, 0.0, 0.0])

    found = novelty(control, treatment, ages=AGES)

    assert found.misfit_pvalue < 0.001


def test_what_the_calendar_does_to_whole_cohorts_is_no_novelty() -> None:
    rng = np.random.default_rng(5)
    cohorts = {
        f"entered in week {i}": (
            a_side(rng, 800, effects=[0.0] * 6),
            a_side(rng, 800, effects=[float(i)] * 6),  # later people gain more, at every age
        )
        for i in range(4)
    }

    found = novelty_by_cohort(cohorts, ages=AGES)

    assert found.levels_differ_pvalue < 1e-6
    assert found.slope.pvalue > 0.01
    assert found.slopes_differ_pvalue > 0.01


def test_young_cohorts_are_read_over_the_ages_they_have_lived_through() -> None:
    old = a_cohort(6, effects=[1.0, 0.8, 0.6, 0.4, 0.2, 0.0])
    names = list(AGES)[:3]
    young = tuple(part_of(side, names) for side in a_cohort(7, effects=[1.0] * 6))
    newborn = tuple(part_of(side, names[:1]) for side in a_cohort(8, effects=[1.0] * 6))

    found = novelty_by_cohort({"old": old, "young": young, "newborn": newborn}, ages=AGES)

    assert len(found.cohorts["young"].ages) == 3
    assert list(found.left_out) == ["newborn"]
    assert "two different ones" in found.left_out["newborn"]


def part_of(sums: Aggregates, columns: list[str]) -> Aggregates:
    return Aggregates(
        sums.n,
        tuple(columns),
        tuple(sums.mean(it) for it in columns),
        tuple(tuple(sums.covariance(a, b) * (sums.n - 1) for b in columns) for a in columns),
    )


def test_an_age_at_which_nothing_happens_is_left_out_aloud() -> None:
    rng = np.random.default_rng(9)
    sides = [
        Aggregates.from_columns(
            {"a": rng.normal(0, 1, 50), "b": rng.normal(0, 1, 50), "c": np.zeros(50)}
        )
        for _ in range(2)
    ]

    found = novelty(*sides, ages={"a": 1, "b": 2, "c": 3})

    assert found.ages == (1, 2)
    assert found.notes == ("c: nothing varies at this age, so it is left out",)


def test_what_cannot_show_a_trend_is_refused() -> None:
    rng = np.random.default_rng(10)
    few = Aggregates.from_columns({it: rng.normal(0, 1, 12) for it in AGES})
    values = rng.normal(0, 1, 100)
    twice = Aggregates.from_columns({"a": values, "b": values})

    with pytest.raises(DataError, match="12 units of the control are too few for 6 ages"):
        novelty(few, few, ages=AGES)
    with pytest.raises(DataError, match="the same outcome for every unit"):
        novelty(twice, twice, ages={"a": 1, "b": 2})
    with pytest.raises(DataError, match="no cohort"):
        novelty_by_cohort({"few": (few, few)}, ages=AGES)
