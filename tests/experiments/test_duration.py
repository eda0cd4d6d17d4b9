"""When the units come, and how long a test takes."""

from functools import partial

import numpy as np
import pytest

from experiments.errors import DataError, PlanError
from experiments.sizing.arrivals import Arrivals, arrivals_from, detectable_by_day, duration
from experiments.sizing.power import Design, Outcome, minimum_detectable_lift


def test_units_add_up_day_by_day_with_the_weeks_rhythm() -> None:
    arrivals = Arrivals(at_once=50, per_day=(10, 20, 30, 40, 50, 0, 0), keeps_share=0.5)

    assert [arrivals.by(day) for day in (0, 1, 3.5, 7, 8, 14)] == [0, 60, 130, 200, 205, 275]
    assert arrivals.in_all == pytest.approx(50 + 150 / 0.5)


def test_a_steady_past_is_carried_on_with_its_rhythm() -> None:
    week = [5, 10, 15, 20, 25, 2, 1]

    found = arrivals_from([999, 3, *week * 4])

    assert found.per_day == pytest.approx(week)
    assert found.keeps_share == 1
    assert found.in_all is None


def test_a_noisy_past_without_a_trend_is_rarely_taken_for_a_fall() -> None:
    rng = np.random.default_rng(1)

    fallen = [arrivals_from(rng.poisson(20, 56)).keeps_share < 1 for _ in range(400)]

    assert np.mean(fallen) < 0.12


def test_a_pool_that_empties_is_planned_with() -> None:
    rng = np.random.default_rng(2)
    daily = [rng.poisson(100 * 0.8 ** (day / 7)) for day in range(56)]

    found = arrivals_from(daily)

    assert found.keeps_share == pytest.approx(0.8, abs=0.03)
    assert found.per_week == pytest.approx(
        sum(100 * 0.8 ** (d / 7) for d in range(56, 63)), rel=0.1
    )
    with pytest.raises(PlanError, match="units will ever come"):
        duration(5_000, arrivals=found)


def test_a_rise_is_never_counted_on() -> None:
    assert arrivals_from([10.0 * 1.5 ** (day // 7) for day in range(42)]).keeps_share == 1


def test_a_duration_is_whole_weeks_and_the_wait_for_the_last_window() -> None:
    arrivals = Arrivals.steady(100)

    assert duration(700, arrivals=arrivals).enrolling_days == 7
    assert duration(701, arrivals=arrivals).enrolling_days == 14
    found = duration(1_000, arrivals=arrivals, window_days=13.5)
    assert (found.enrolling_days, found.window_days, found.days, found.n) == (14, 14, 28, 1_400)


def test_those_who_qualify_already_shorten_it() -> None:
    arrivals = Arrivals(at_once=650, per_day=(10,) * 7)

    assert duration(700, arrivals=arrivals).enrolling_days == 7


def test_the_curve_falls_as_units_mature() -> None:
    smallest = partial(
        lambda n, outcome, design: minimum_detectable_lift(outcome, n=n, design=design),
        outcome=Outcome.proportion(0.1),
        design=Design(),
    )

    curve = detectable_by_day(smallest, arrivals=Arrivals.steady(200), window_days=14, weeks=6)

    assert [(point.day, point.n) for point in curve] == [
        (7, 0), (14, 0), (21, 1_400), (28, 2_800), (35, 4_200), (42, 5_600),
    ]  # fmt: skip
    lifts = [point.smallest_lift for point in curve]
    assert lifts[:2] == [None, None]
    assert lifts[2] > lifts[3] > lifts[4] > lifts[5]
    assert lifts[5] == pytest.approx(
        minimum_detectable_lift(Outcome.proportion(0.1), n=5_600, design=Design())
    )


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(DataError, match="not a whole week"):
        arrivals_from([1, 2, 3])
    with pytest.raises(DataError, match="fewer than 0"):
        arrivals_from([-1] * 7)
    with pytest.raises(PlanError, match="more than 104 weeks"):
        duration(10**6, arrivals=Arrivals.steady(1))
    with pytest.raises(PlanError, match="only 0 units"):
        duration(10, arrivals=arrivals_from([0] * 14))
    with pytest.raises(PlanError, match="seven daily numbers"):
        Arrivals(per_day=(1.0,))
    with pytest.raises(PlanError, match="must be in"):
        Arrivals(keeps_share=1.5)
