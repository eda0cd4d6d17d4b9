"""BG/NBD and Gamma-Gamma against what is published, another library, and the story they tell."""

import lifetimes
import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from engine.learning.artifact import pack, unpack
from engine.learning.lifetime.bg_nbd import BgNbd, bootstrapped, fit_bg_nbd
from engine.learning.lifetime.gamma_gamma import GammaGamma, fit_gamma_gamma
from engine.learning.lifetime.groups import Groups, loss_of
from engine.learning.lifetime.repeats import WEEK, Repeats, repeats_of
from engine.learning.lifetime.value import WEEKS_A_YEAR, Lifetime, lifetime_value
from tests.learning.buyers import OCTOBER, cdnow_days, cdnow_summary, made_up


def buyers(n: int = 1_500, seed: int = 1) -> Repeats:
    ids, times, money = made_up(n, seed=seed)
    return repeats_of(ids, times, money, as_of=60 * WEEK)


def repeats(summary: dict[str, np.ndarray]) -> Repeats:
    ids = np.arange(len(summary["x"]))
    return Repeats(ids, summary["x"], summary["t_x"], summary["T"], summary["zbar"])


def same_buying(theirs: lifetimes.BetaGeoFitter) -> BgNbd:
    r, alpha, a, b = (float(theirs.params_[name]) for name in ("r", "alpha", "a", "b"))
    return BgNbd(r, alpha, a, b)


def same_spend(theirs: lifetimes.GammaGammaFitter) -> GammaGamma:
    p, q, v = (float(theirs.params_[name]) for name in ("p", "q", "v"))
    return GammaGamma(p, q, v)


def test_cdnow_gives_the_published_parameters_of_buying_to_three_digits() -> None:
    found = cdnow_summary()

    model = fit_bg_nbd(found["x"], found["t_x"], found["T"])

    # Fader, Hardie, Lee (2005), table 2: .243, 4.414, .793, 2.426; log-likelihood -9582.4.
    assert (round(model.r, 3), round(model.alpha, 3)) == (0.243, 4.414)
    assert (round(model.a, 3), round(model.b, 3)) == (0.793, 2.426)
    assert model.log_likelihood == pytest.approx(-9582.4, abs=0.05)


def test_cdnow_gives_the_published_parameters_of_spend() -> None:
    found = cdnow_summary()

    model = fit_gamma_gamma(found["x"], found["zbar"])

    # Fader, Hardie (2013): p 6.25, q 3.74, gamma 15.44; 946 people; correlation 0.11.
    assert (round(model.p, 2), round(model.q, 2), model.n) == (6.25, 3.74, 946)
    assert model.v == pytest.approx(15.44, abs=0.01)
    assert model.correlation == pytest.approx(0.114, abs=0.001)


def test_days_of_purchase_become_the_published_summary() -> None:
    found, (ids, times, money) = cdnow_summary(), cdnow_days()

    mine = repeats_of(ids, times, money, as_of=OCTOBER)

    # The publishers look at the beginning of the last day, we at its end; two digits are printed.
    assert mine.n == 2_357
    assert (mine.x == found["x"]).all()
    assert np.abs(mine.t_x - found["t_x"]).max() <= 0.0051
    assert np.abs(mine.age - 1 / 7 - found["T"]).max() <= 0.0051
    assert np.abs(mine.spend - found["zbar"]).max() <= 0.0051


@pytest.mark.parametrize("penalty", [0.0, 0.01])
def test_both_models_agree_with_lifetimes(penalty: float) -> None:
    people = buyers()
    theirs = lifetimes.BetaGeoFitter(penalizer_coef=penalty)
    theirs.fit(people.x, people.t_x, people.age)

    mine = fit_bg_nbd(people.x, people.t_x, people.age, penalty=penalty)

    expected = theirs.params_[["r", "alpha", "a", "b"]].to_numpy()
    assert np.abs(np.array([mine.r, mine.alpha, mine.a, mine.b]) / expected - 1).max() < 1e-4
    columns = (people.x, people.t_x, people.age)
    theirs_alive = theirs.conditional_probability_alive(*columns)
    assert np.abs(mine.alive(*columns) - theirs_alive).max() < 1e-4
    theirs_more = theirs.conditional_expected_number_of_purchases_up_to_time(26, *columns)
    assert np.abs(mine.expected_purchases(*columns, within=26) - theirs_more).max() < 1e-4


def test_the_same_parameters_foretell_what_lifetimes_foretells_to_nine_digits() -> None:
    people = buyers()
    columns = (people.x, people.t_x, people.age)
    theirs = lifetimes.BetaGeoFitter().fit(*columns)
    mine = same_buying(theirs)

    alive, more = mine.alive(*columns), mine.expected_purchases(*columns, within=26)

    assert np.abs(alive - theirs.conditional_probability_alive(*columns)).max() < 1e-9
    expected = theirs.conditional_expected_number_of_purchases_up_to_time(26, *columns)
    assert np.abs(more / expected - 1).max() < 1e-9
    assert mine.expected_of_new(within=26) == pytest.approx(
        theirs.expected_number_of_purchases_up_to_time(26), rel=1e-9
    )


def test_lifetime_value_discounts_as_lifetimes_does() -> None:
    people = buyers()
    spent = people.x > 0
    bought = lifetimes.BetaGeoFitter().fit(people.x, people.t_x, people.age)
    spend = lifetimes.GammaGammaFitter().fit(people.x[spent], people.spend[spent])
    mine = Lifetime(same_buying(bought), same_spend(spend))
    monthly, month = 0.01, 4.345  # lifetimes' own weeks a month

    found = lifetime_value(
        mine,
        people,
        within=12 * month,
        discount=(1 + monthly) ** (WEEKS_A_YEAR / month) - 1,
        step=month,
    )

    expected = spend.customer_lifetime_value(
        bought, *(pd.Series(it) for it in (people.x, people.t_x, people.age, people.spend)),
        time=12, freq="W", discount_rate=monthly,
    )  # fmt: skip
    assert np.abs(found / np.asarray(expected) - 1).max() < 1e-9
    undiscounted = mine.value(people, within=12 * month)
    assert (found < undiscounted).all()
    assert (found > 0.8 * undiscounted).all()


def test_the_slope_of_the_likelihood_is_its_slope() -> None:
    people = buyers(300)
    loss = loss_of(Groups.of(people.x, people.t_x, people.age), 0.2, 0.01)
    at = np.array([0.1, -0.3, 0.2, 0.5])

    away = optimize.check_grad(lambda it: loss(it)[0], lambda it: loss(it)[1], at)

    assert away < 1e-5


def test_what_was_planted_is_found() -> None:
    people = buyers(4_000)

    model = fit_bg_nbd(people.x, people.t_x, people.age)
    spend = fit_gamma_gamma(people.x, people.spend)

    # 3 standard errors of such a sample, as the bootstrap below gives them.
    assert model.r == pytest.approx(0.6, abs=0.09)
    assert model.alpha == pytest.approx(5.0, abs=1.0)
    assert model.a / (model.a + model.b) == pytest.approx(0.8 / 3.3, abs=0.05)
    assert spend.mean == pytest.approx(15.0 * 6.2 / 2.7, rel=0.06)


def test_whoever_buys_very_often_and_far_ahead_still_has_a_number() -> None:
    model = BgNbd(0.243, 4.414, 0.793, 2.426)
    x = np.array([0.0, 1.0, 50.0, 400.0, 3_000.0])

    found = model.expected_purchases(x, np.where(x > 0, 200.0, 0.0), np.full(5, 200.0), within=5e3)

    # 3,000 days in 200 weeks is 15 a week; the paper's own form overflows from a few hundred on.
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()
    soon = model.expected_purchases(x[4:], np.array([200.0]), np.array([200.0]), within=1.0)
    assert soon[0] == pytest.approx(3_000.243 / 204.414, rel=0.01)


def test_at_its_limit_the_model_foretells_the_pace_of_all() -> None:
    # People who do not differ and never stop: 6e4 / 9e4 a week; in closed form no number.
    model = BgNbd(6e4, 9e4, 1e-5, 6e4)

    found = model.expected_purchases([0.0, 5.0], [0.0, 9.0], [10.0, 10.0], within=20.0)

    assert found == pytest.approx(np.full(2, 20 * 2 / 3), rel=1e-3)


def test_the_closed_form_is_the_mean_over_chances_to_stop() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        r, alpha, a, b = np.exp(rng.uniform([-2, -1, -2, -1], [3, 6, 2, 4])).tolist()
        model = BgNbd(r, alpha, a, b)
        x, age = rng.integers(0, 30, 5).astype(float), rng.uniform(5, 200, 5)
        span = float(rng.uniform(1, 100))

        closed, integrated = model._closed(x, age, span), model._integrated(x, age, span)

        assert np.abs(closed / integrated - 1).max() < 2e-3


@pytest.mark.parametrize("pole", [(1.0, 2.0), (0.4, 0.6)])
def test_the_poles_of_the_formula_are_bridged(pole: tuple[float, float]) -> None:
    a, b = pole  # a = 1, and a + b = 1 for whoever never came back
    x, t_x, age = np.array([0.0, 2.0]), np.array([0.0, 9.0]), np.array([20.0, 20.0])

    at = BgNbd(0.5, 4.0, a, b).expected_purchases(x, t_x, age, within=30)
    near = BgNbd(0.5, 4.0, a + 1e-4, b).expected_purchases(x, t_x, age, within=30)

    assert np.isfinite(at).all()
    assert np.abs(at / near - 1).max() < 1e-3


def test_grouped_people_and_their_order_change_nothing() -> None:
    people = buyers(600)
    order = np.random.default_rng(5).permutation(people.n)
    twice = [np.tile(it, 2) for it in (people.x, people.t_x, people.age)]

    once = fit_bg_nbd(people.x, people.t_x, people.age)
    mixed = fit_bg_nbd(people.x[order], people.t_x[order], people.age[order])
    doubled = fit_bg_nbd(*twice)

    assert once == mixed
    assert doubled.alpha == pytest.approx(once.alpha, rel=1e-6)
    assert doubled.log_likelihood == pytest.approx(2 * once.log_likelihood, rel=1e-9)


def test_the_unit_of_time_does_not_matter() -> None:
    people = buyers(600)

    weeks = fit_bg_nbd(people.x, people.t_x, people.age)
    days = fit_bg_nbd(people.x, 7 * people.t_x, 7 * people.age)

    assert days.alpha == pytest.approx(7 * weeks.alpha, rel=1e-5)
    assert (days.r, days.a, days.b) == pytest.approx((weeks.r, weeks.a, weeks.b), rel=1e-5)


def test_the_bootstrap_knows_how_far_the_parameters_scatter() -> None:
    fitted = [buyers(1_000, seed=seed) for seed in range(9)]
    models = [fit_bg_nbd(it.x, it.t_x, it.age) for it in fitted]
    scatter = np.std([np.log(it.r) for it in models], ddof=1)
    groups = Groups.of(fitted[0].x, fitted[0].t_x, fitted[0].age)

    drawn = bootstrapped(groups, models[0], rng=np.random.default_rng(2), draws=20)

    # A standard deviation from 9 and one from 20 draws: each within some 50 %.
    assert 0.5 < np.std([np.log(it.r) for it in drawn], ddof=1) / scatter < 2.0


def test_models_are_kept_as_arrays_and_read_back_whole() -> None:
    people = buyers()
    model = Lifetime(
        fit_bg_nbd(people.x, people.t_x, people.age), fit_gamma_gamma(people.x, people.spend)
    )

    again = Lifetime.of(unpack(pack(model.artifact())))

    assert again == model
    counting = Lifetime(model.purchases)
    assert Lifetime.of(unpack(pack(counting.artifact()))) == counting
    with pytest.raises(ValueError, match="knows no money"):
        counting.value(people, within=4)


def test_a_shop_that_nobody_leaves_is_said_to_be_one() -> None:
    rng = np.random.default_rng(3)
    n, span = 800, 50.0
    at = [np.sort(rng.uniform(0, span, rng.poisson(0.1 * span))) for _ in range(n)]
    x = np.array([float(len(it)) for it in at])
    t_x = np.array([it[-1] if len(it) else 0.0 for it in at])

    model = fit_bg_nbd(x, t_x, np.full(n, span))

    assert model.notes
    assert model.expected_purchases(x, t_x, np.full(n, span), within=10).mean() == pytest.approx(
        1.0, rel=0.05
    )
