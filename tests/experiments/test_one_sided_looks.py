"""One direction at a few looks: published boundaries, normal integrals, refusals."""

from itertools import pairwise
from math import inf, sqrt

import numpy as np
import pytest
from scipy import stats

from experiments.errors import DataError, PlanError
from experiments.evidence.boundaries import lower_boundaries, upper_boundaries
from experiments.evidence.compare import absolute_lift, one_sided
from experiments.evidence.one_sided_looks import (
    OneSidedPlan,
    one_sided_design,
    one_sided_group_sequential,
)
from experiments.evidence.spending import Spending, spending_from
from tests.experiments.test_group_sequential import FIFTHS, estimates, looks_with
from tests.rig.sizes import scaled

THIRDS = (1 / 3, 2 / 3, 1.0)
GSDESIGN = OneSidedPlan(
    planned_looks=THIRDS, spending=Spending("hsd", -4.0), futility=Spending("hsd", -2.0)
)


def inside(times, lower, upper, *, drift=0.0):
    """The chance to stay between, by scipy's multivariate normal: nothing of our recursion."""
    cov = [[sqrt(min(a, b) / max(a, b)) for b in times] for a in times]
    mean = drift * np.sqrt(times)
    law = stats.multivariate_normal(
        mean=mean, cov=cov, abseps=1e-8, releps=1e-8, maxpts=2_000_000, seed=1
    )
    low = np.maximum(lower, -12.0)
    high = np.minimum(upper, 12.0)
    return float(law.cdf(high, lower_limit=low))


def test_the_design_is_the_one_that_gsdesign_prints_by_default():
    """gsDesign() of the R package (Anderson): k = 3, alpha .025, beta .1, Hwang-Shih-DeCani -4
    above and -2 below, non-binding. Its print: 0.357, 0.713, 1.070; -0.24, 0.94, 2.00; 3.01, 2.55,
    2.00; spent .0148, .0289, .0563 and .0013, .0049, .0188."""
    found = one_sided_design(GSDESIGN)

    assert found.upper == pytest.approx((3.01, 2.55, 2.00), abs=0.005)
    assert found.lower == pytest.approx((-0.24, 0.94, 2.00), abs=0.005)
    sizes = [found.inflation * t for t in THIRDS]
    assert sizes == pytest.approx([0.357, 0.713, 1.070], abs=5e-4)
    steps = [
        [b - a for a, b in pairwise((0.0, *it))] for it in (found.beta_spent, found.alpha_spent)
    ]
    assert steps[0] == pytest.approx([0.0148, 0.0289, 0.0563], abs=5e-5)
    assert steps[1] == pytest.approx([0.0013, 0.0049, 0.0188], abs=5e-5)


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        # facts/statistics.md 2.6: two sides at .05 are one at .025 but for both being crossed.
        ("obrien_fleming", (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4102, 2.3966, 2.3860)),
        ({"power": 2}, (3.0902, 2.7141, 2.4728, 2.2799, 2.1140)),
        ({"power": 3}, (3.5401, 2.9743, 2.6045, 2.3064, 2.0455)),
    ],
)
def test_upper_boundaries_are_the_published_ones(spending, published):
    plan = OneSidedPlan(planned_looks=FIFTHS, spending=spending_from(spending))

    assert one_sided_design(plan).upper == pytest.approx(published, abs=1e-4)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", {"power": 3}, {"hsd": -4}])
@pytest.mark.parametrize("alpha", [0.025, 0.1])
def test_what_each_look_spends_is_a_multivariate_normal_integral(spending, alpha):
    times = (0.3, 0.55, 1.0)
    function = spending_from(spending)
    plan = OneSidedPlan(planned_looks=times, alpha=alpha, spending=function)

    found = one_sided_design(plan)

    for k in range(1, 4):
        stays = inside(times[:k], (-inf,) * k, found.upper[:k])
        assert 1 - stays == pytest.approx(found.alpha_spent[k - 1], abs=2e-6)
    assert found.alpha_spent[-1] == alpha
    if spending == "obrien_fleming":
        expected = 2 * stats.norm.sf(stats.norm.isf(alpha / 2) / sqrt(0.3))
        assert found.alpha_spent[0] == pytest.approx(expected, rel=1e-12)


def test_giving_up_spends_beta_and_leaves_the_power_as_wished():
    found = one_sided_design(GSDESIGN)
    lower, upper, drift = found.lower, found.upper, found.drift

    first = stats.norm.cdf(lower[0] - drift * sqrt(THIRDS[0]))
    second = inside(THIRDS[:2], (lower[0], -inf), (upper[0], lower[1]), drift=drift)
    third = inside(THIRDS, (*lower[:2], -inf), upper, drift=drift)

    spent = [first, first + second, first + second + third]
    assert spent == pytest.approx(found.beta_spent, abs=2e-6)
    assert spent[-1] == pytest.approx(0.1, abs=2e-6)


def test_ignoring_the_advice_costs_no_alpha_and_following_it_only_lowers_it():
    found = one_sided_design(GSDESIGN)

    ignored = 1 - inside(THIRDS, (-inf,) * 3, found.upper)
    lower, upper = found.lower, found.upper
    first = stats.norm.sf(upper[0])
    second = inside(THIRDS[:2], (lower[0], upper[1]), (upper[0], inf))
    third = inside(THIRDS, (*lower[:2], upper[2]), (*upper[:2], inf))

    assert ignored == pytest.approx(0.025, abs=2e-6)
    assert first + second + third < 0.0245


def test_the_expected_sample_is_what_simulated_experiments_use():
    rng = np.random.default_rng(5)
    found = one_sided_design(GSDESIGN)
    runs = scaled(40_000)
    steps = rng.normal(0, sqrt(1 / 3), (runs, 3))

    for drift, expected in ((0.0, found.expected_share_if_none),
                            (found.drift, found.expected_share)):  # fmt: skip
        paths = (steps + drift / 3).cumsum(axis=1) / np.sqrt(THIRDS)
        stopped = (paths >= found.upper) | (paths < found.lower)
        used = np.array(THIRDS)[np.argmax(stopped | [False, False, True], axis=1)]
        assert used.mean() == pytest.approx(expected, abs=4 * used.std() / sqrt(runs))
        claims = (paths >= found.upper) & (stopped.argmax(axis=1)[:, None] == np.arange(3))
        share, wished = claims.any(axis=1).mean(), 0.9 if drift else 0.025
        assert share <= wished + 4 * sqrt(wished * (1 - wished) / runs)


def test_looks_on_other_days_than_planned_still_spend_alpha_and_no_more():
    fractions = (0.25, 0.25, 0.7, 1.1)  # One without news, and more at the end than planned.
    looks = looks_with([0.5, 0.6, 1.0, 1.5], fractions)

    found = one_sided_group_sequential(looks, plan=GSDESIGN, fractions=fractions)

    kept = [found.upper[i] for i in (0, 2, 3)]
    assert found.upper[1] == inf
    stays = inside((0.25, 0.7, 1.1), (-inf,) * 3, kept)
    assert 1 - stays == pytest.approx(0.025, abs=2e-6)
    assert found.lower[1] == -inf
    assert found.lower[3] == found.upper[3]
    assert found.crossed_at is None
    # The first look is above its lower boundary, the third below.
    assert found.lower[2] > 1.0
    assert found.futile_at == 3


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_p_bound_and_boundary_say_the_same_in_either_direction(alternative):
    sign = 1 if alternative == "greater" else -1
    plan = OneSidedPlan(planned_looks=(0.5, 1.0), alternative=alternative)
    for z in (-3.0, 1.5, 1.95, 1.975, 3.5):
        looks = looks_with([0.3 * sign, z * sign], (0.5, 1.0))

        found = one_sided_group_sequential(looks, plan=plan, fractions=(0.5, 1.0))

        half = one_sided(
            absolute_lift(looks[-1], critical=found.test.critical), alternative=alternative
        )
        bound = half.ci_lower if sign > 0 else half.ci_upper
        crossed = found.crossed_at == 2
        assert crossed == (z >= found.upper[1])
        assert crossed == (found.test.pvalue <= 0.025 + 1e-6)
        assert crossed == (bound * sign >= 0)
        assert found.running_pvalue <= found.test.pvalue + 1e-6
    assert found.lower == ()
    assert found.futile_at is None


def test_worse_is_never_claimed_however_clear():
    looks = looks_with([-9.0], (0.5,))

    found = one_sided_group_sequential(looks, plan=GSDESIGN, fractions=(0.5,))

    assert found.crossed_at is None
    assert found.test.pvalue == 1.0
    assert found.futile_at == 1


def test_an_end_before_the_planned_information_spends_what_is_left():
    looks = looks_with([1.0, 2.1], (0.3, 0.6))

    ended = one_sided_group_sequential(looks, plan=GSDESIGN, fractions=(0.3, 0.6), is_final=True)
    going = one_sided_group_sequential(looks, plan=GSDESIGN, fractions=(0.3, 0.6))

    assert 1 - inside((0.3, 0.6), (-inf,) * 2, ended.upper) == pytest.approx(0.025, abs=2e-6)
    assert ended.crossed_at == 2
    assert going.crossed_at is None


def test_without_variance_nothing_is_known_and_nothing_claimed():
    found = one_sided_group_sequential([estimates(1.0, 0.0)], plan=GSDESIGN, fractions=(0.0,))

    assert found.test.pvalue is found.running_pvalue is found.crossed_at is found.futile_at is None
    assert found.test.critical == inf


def test_what_is_no_one_sided_plan_is_refused():
    for changes, says in (
        ({"planned_looks": ()}, "must rise"),
        ({"planned_looks": (0.5, 0.9)}, "must rise"),
        ({"alpha": 0.5}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"power": 0.4}, "power"),
        ({"power": 1.0}, "power"),
    ):
        with pytest.raises(PlanError, match=says):
            OneSidedPlan(**{"planned_looks": THIRDS, **changes})
    with pytest.raises(DataError, match="0 looks"):
        one_sided_group_sequential([], plan=GSDESIGN, fractions=())
    with pytest.raises(PlanError, match="alpha spent at 1"):
        upper_boundaries((0.5, 1.0), spent=(0.025,))
    with pytest.raises(PlanError, match="beta spent goes from"):
        lower_boundaries((0.5, 1.0), upper=(2.5, 2.0), spent=(0.1, 0.05), drift=3.0)
