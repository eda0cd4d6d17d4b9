"""Who is best by quadrature, and the vectors made of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from experiments.bandits.beliefs import ARMS_MAX, BetaBelief, NormalBelief, p_best
from experiments.bandits.learning import WARM_UP, beliefs_from, learnt_vector
from experiments.bandits.log import ArmSums, Batch
from experiments.bandits.policies import (
    WHOLE,
    Policy,
    even_vector,
    floor_at,
    floored,
    next_vector,
    top_two,
)
from experiments.errors import DataError, PlanError


def test_two_normal_arms_are_compared_as_their_difference():
    one, other = NormalBelief(1.0, 4.0), NormalBelief(2.0, 0.25)

    shares = p_best([one, other])

    exact = stats.norm.cdf((2.0 - 1.0) / np.sqrt(4.25))
    assert shares[1] == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("narrow", [1.0, 1e-2, 1e-4, 1e-8])
def test_a_wide_belief_among_narrow_ones_keeps_every_digit(narrow):
    beliefs = [NormalBelief(0, 100), NormalBelief(1, narrow), NormalBelief(0.9, narrow * 4)]

    shares = p_best(beliefs)

    bends = sorted(
        b.mean + cut * b.variance**0.5 for b in beliefs for cut in (-6, -3, -1, 0, 1, 3, 6)
    )
    for arm, belief in enumerate(beliefs):
        others = [b for i, b in enumerate(beliefs) if i != arm]
        pieces = zip([-90, *bends], [*bends, 90], strict=True)

        def density(x, belief=belief, others=others):
            spread = belief.variance**0.5
            below = np.prod([stats.norm.cdf(x, b.mean, b.variance**0.5) for b in others])
            return stats.norm.pdf(x, belief.mean, spread) * below

        exact = sum(integrate.quad(density, a, b, epsabs=1e-13)[0] for a, b in pieces if a < b)
        assert shares[arm] == pytest.approx(exact, abs=1e-9)


def test_gauss_hermite_alone_would_be_off_where_one_belief_is_narrow():
    """Why `beliefs` cuts the line: the trap that this test keeps in sight."""
    places, widths = np.polynomial.hermite.hermgauss(32)
    wide, narrow = NormalBelief(0, 1), NormalBelief(0.1, 1e-6)

    at = np.sqrt(2 * wide.variance) * places
    hermite = np.sum(widths * stats.norm.cdf(at, narrow.mean, narrow.variance**0.5)) / np.sqrt(
        np.pi
    )

    exact = stats.norm.cdf(-0.1 / np.sqrt(1 + 1e-6))
    assert abs(hermite - exact) > 0.03
    assert p_best([wide, narrow])[0] == pytest.approx(exact, abs=1e-12)


@given(
    a=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    b=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_two_rates_are_compared_as_the_closed_form_does(a, b):
    # Miller (2015), "Formulas for Bayesian A/B testing": a finite sum for whole counts.
    one, other = (BetaBelief(1.0 + it[0], 1.0 + it[1]) for it in (a, b))

    share = p_best([one, other])[1]

    from scipy.special import betaln

    whole = np.arange(other.a)
    exact = np.exp(
        betaln(one.a + whole, one.b + other.b)
        - np.log(other.b + whole)
        - betaln(1 + whole, other.b)
        - betaln(one.a, one.b)
    ).sum()
    assert share == pytest.approx(exact, abs=1e-10)


def test_large_counts_agree_with_the_normal_approximation():
    counts = [(50_000, 1_000_000), (50_300, 1_000_000), (49_900, 1_000_000)]
    rates = [BetaBelief.of_counts(*it) for it in counts]
    normals = [NormalBelief(k / n, k / n * (1 - k / n) / n) for k, n in counts]

    assert p_best(rates) == pytest.approx(p_best(normals), abs=2e-3)


def test_lower_is_better_is_the_mirror():
    higher = p_best([NormalBelief(1, 1), NormalBelief(2, 3)])
    lower = p_best([NormalBelief(-1, 1), NormalBelief(-2, 3)], better="lower")
    rates = p_best([BetaBelief(3, 5), BetaBelief(2, 9)], better="lower")

    assert lower == pytest.approx(higher)
    assert rates == pytest.approx(p_best([BetaBelief(5, 3), BetaBelief(9, 2)]))


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(1e-6, 9)), min_size=2, max_size=6))
def test_chances_sum_to_one_and_do_not_depend_on_the_order(given_beliefs):
    beliefs = [NormalBelief(*it) for it in given_beliefs]

    shares = p_best(beliefs)

    assert sum(shares) == pytest.approx(1)
    assert p_best(beliefs[::-1]) == pytest.approx(shares[::-1], abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_top_two_plays_as_its_own_sampling_would(seed):
    rng = np.random.default_rng(seed)
    beliefs = [NormalBelief(0, 1), NormalBelief(0.4, 0.5), NormalBelief(0.2, 2), NormalBelief(1, 1)]
    n = 200_000
    means, spreads = [b.mean for b in beliefs], [b.variance**0.5 for b in beliefs]
    leaders = rng.normal(means, spreads, (n, 4)).argmax(axis=1)
    played = np.where(rng.random(n) < 0.3, leaders, -1)
    while (open_ := played < 0).any():  # resample until somebody else is the best
        again = rng.normal(means, spreads, (int(open_.sum()), 4)).argmax(axis=1)
        played[open_] = np.where(again != leaders[open_], again, -1)

    shares = top_two(beliefs, leader_share=0.3)

    assert shares == pytest.approx(np.bincount(played, minlength=4) / n, abs=0.005)
    assert sum(shares) == pytest.approx(1)


def test_top_two_considers_the_first_arm_as_well_as_the_others():
    """A published implementation takes places 1 and 2 of the ranking instead of 0 and 1."""
    beliefs = [NormalBelief(5, 0.01), NormalBelief(4, 0.01), NormalBelief(0, 0.01)]

    shares = top_two(beliefs)

    assert shares[0] == pytest.approx(0.5, abs=1e-6)
    assert shares[1] == pytest.approx(0.5, abs=1e-6)


def test_a_leader_beyond_doubt_still_has_a_challenger():
    beliefs = [NormalBelief(1_000, 1), NormalBelief(1, 1), NormalBelief(0, 1)]

    shares = top_two(beliefs)

    runner_up, last = p_best(beliefs[1:])
    assert shares == pytest.approx((0.5, 0.5 * runner_up, 0.5 * last))


@given(
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=20).filter(lambda it: sum(it) > 1e-3),
    floor=st.floats(0.0001, 0.05),
)
def test_a_vector_is_whole_basis_points_above_the_floor(shares, floor):
    points = floored(shares, floor=floor)

    assert sum(points) == WHOLE
    assert min(points) >= floor * WHOLE - 1e-6
    wished = [floor + (1 - len(shares) * floor) * it / sum(shares) for it in shares]
    assert points == pytest.approx([it * WHOLE for it in wished], abs=len(shares) + 1)


def test_the_floor_falls_no_faster_than_the_root_of_time():
    slow = Policy(floor=0.1, floor_decay=0.5)

    assert floor_at(slow, update=100) == pytest.approx(0.01)
    with pytest.raises(PlanError, match=r"allowed is 0 to 0\.5"):
        Policy(floor_decay=0.6)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"floor": 0.0}, "can never be read"),
        ({"explore": 1.0}, "below 1"),
        ({"algorithm": "greedy"}, "thompson or top_two"),
        ({"leader_share": 1.0}, "between 0 and 1"),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused(settings, why):
    with pytest.raises(PlanError, match=why):
        Policy(**settings)


def test_a_floor_that_leaves_no_room_is_refused():
    with pytest.raises(PlanError, match=r"0\.0001 to 0\.3333"):
        next_vector([NormalBelief(0, 1)] * 3, Policy(floor=0.4))


@pytest.mark.parametrize("variance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_belief_that_says_nothing_is_refused(variance):
    with pytest.raises(DataError, match="says nothing"):
        NormalBelief(0.0, variance)


def test_a_belief_from_impossible_counts_and_too_many_arms_are_refused():
    with pytest.raises(DataError, match="impossible"):
        BetaBelief.of_counts(3, 2)
    with pytest.raises(DataError, match=f"1 to {ARMS_MAX}"):
        p_best([NormalBelief(0, 1)] * (ARMS_MAX + 1))


def test_even_is_even():
    assert even_vector(4) == (2_500,) * 4
    assert even_vector(3) == (3_334, 3_333, 3_333)


# --- learning -----------------------------------------------------------------------------------


def a_batch(*, version, chances, **arms):
    sums = {name: ArmSums(n, mean, n * mean * (1 - mean)) for name, (n, mean) in arms.items()}
    return Batch(version, version, chances, sums)


def test_an_arm_is_not_crowned_for_having_led_on_a_good_day():
    even, lopsided = {"a": 0.5, "b": 0.5}, {"a": 0.05, "b": 0.95}
    usual = a_batch(version=1, chances=even, a=(500, 0.10), b=(500, 0.10))
    sale = a_batch(version=2, chances=lopsided, a=(50, 0.40), b=(950, 0.40))

    beliefs = beliefs_from([usual, sale], ["a", "b"])

    # Pooled, b would stand at 0.297 against 0.127; by scores the two are level.
    assert beliefs is not None
    assert beliefs[1].mean - beliefs[0].mean == pytest.approx(0, abs=0.02)
    assert 0.3 < p_best(beliefs)[0] < 0.7


def test_nothing_is_learnt_from_too_little_or_from_what_never_varies():
    few = a_batch(version=1, chances={"a": 0.5, "b": 0.5}, a=(WARM_UP - 1, 0.5), b=(400, 0.1))
    silent = a_batch(version=1, chances={"a": 0.5, "b": 0.5}, a=(400, 0.0), b=(400, 0.0))

    assert learnt_vector([few], ["a", "b"], Policy()) == (5_000, 5_000)
    assert learnt_vector([silent], ["a", "b"], Policy()) == (5_000, 5_000)


def test_an_arm_without_a_single_conversion_is_doubted_not_certain():
    cohort = a_batch(version=1, chances={"a": 0.5, "b": 0.5}, a=(100, 0.0), b=(100, 0.04))

    vector = learnt_vector([cohort], ["a", "b"], Policy(floor=0.01))

    assert 100 < vector[0] < 1_500  # 4 against 0 of 100: two-sided p is 0.04
