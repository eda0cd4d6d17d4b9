"""Whom to treat: rankings beside scikit-uplift, policies beside brute force, what is refused."""

import json
import warnings

import numpy as np
import pytest

from experiments.errors import DataError, PlanError
from experiments.evidence.compare import normal
from experiments.uplift.qini import qini
from experiments.uplift.targeting import RIVALS, Rule, target
from experiments.uplift.units import Units
from experiments.uplift.values import Terms, compared, top_share
from tests.experiments.uplift_runs import hillstrom_units, planted
from tests.rig.sizes import scaled


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("digits", [9, 1])
def test_the_curve_is_that_of_scikit_uplift(digits):
    units = planted(seed=1, n=4_000).units
    scores = np.round(units.features[:, 1] + rng().normal(0, 1, units.n), digits)

    found = qini(units, scores, rng=rng(), draws=20)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sklift.metrics import qini_curve

        x, y = qini_curve(units.outcome, scores, units.treated.astype(int))
    assert found.shares * units.n == pytest.approx(x)
    assert found.gained * units.treated.sum() == pytest.approx(y, abs=1e-9)
    height = y / units.treated.sum()
    area = np.trapezoid(height, x / units.n) - height[-1] / 2
    assert found.area.estimate == pytest.approx(area, abs=1e-12)


def test_the_curve_allows_for_chances_that_differ():
    given = planted(seed=2, n=60_000, varying=True)

    found = qini(given.units, given.effects, rng=rng(), draws=20)

    # Half the people have an effect of 0.09, the others one of -0.01.
    assert found.gained[-1] == pytest.approx(0.04, abs=0.012)
    assert found.gained[1] == pytest.approx(0.045, abs=0.012)


def test_a_permuted_treatment_has_a_qini_interval_that_covers_zero():
    n_runs, n_covered = scaled(30), 0
    for seed in range(n_runs):
        units = planted(seed=seed, n=2_000).units
        mixed = Units(
            units.features, rng(seed).permutation(units.treated), units.outcome, units.chance
        )
        found = qini(mixed, units.features[:, 1] * 0.1 + units.features[:, 3], rng=rng(seed),
                     draws=100)  # fmt: skip
        assert found.area.ci_lower is not None
        assert found.area.ci_upper is not None
        n_covered += found.area.ci_lower <= 0 <= found.area.ci_upper

    assert n_covered / n_runs >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_runs)


def test_scores_that_are_missing_cannot_be_ranked():
    units = planted(seed=3, n=1_000).units

    with pytest.raises(DataError, match="finite"):
        qini(units, np.full(units.n, np.nan), rng=rng())
    with pytest.raises(DataError, match="ranked"):
        top_share(np.array([1.0, np.nan]), 0.5)


def test_ties_at_the_edge_share_what_is_left():
    assert top_share([3, 1, 1, 1, 0], 0.4).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])
    assert top_share([1, 1], 0.25).tolist() == [0.25, 0.25]
    assert top_share([2, 1, 0], 1.0).tolist() == [1, 1, 1]
    assert top_share([2, 1, 0], 0.0).tolist() == [0, 0, 0]
    scores = rng().normal(0, 1, 997)
    for share in (0.013, 0.3, 0.5, 0.999):
        assert top_share(scores, share).mean() == pytest.approx(share, abs=1e-12)


def test_the_gain_over_lot_at_a_budget_is_the_published_formula():
    psi, scores = rng(4).normal(0.1, 1, 500), rng(5).normal(0, 1, 500)
    top = top_share(scores, 0.2)

    found = compared(psi, top, 0.2, terms=Terms())

    expected = (top - 0.2) * psi
    assert found.treatment - found.control == pytest.approx(expected.mean(), abs=1e-12)
    assert found.difference_variance == pytest.approx(expected.var(ddof=1) / 500, rel=1e-12)
    by_parts = found.control_variance + found.treatment_variance - 2 * found.covariance
    assert found.difference_variance == pytest.approx(by_parts, rel=1e-9)


def test_a_policys_value_is_what_treating_by_it_would_bring():
    given = planted(seed=6, n=100_000)
    psi = given.effects + rng(6).normal(0, 0.5, 100_000)
    terms = Terms(value=20.0, cost=0.5)

    found = compared(psi, given.effects > 0.05, 0.0, terms=terms)

    # Half of all, each worth 20 * 0.09 - 0.5.
    assert found.treatment == pytest.approx(0.5 * 1.3, abs=0.05)
    assert normal(found, alpha=0.05).pvalue < 1e-6


def test_planted_effects_are_accepted_and_the_rule_finds_who_is_helped():
    given = planted(seed=7, n=20_000)

    found = target(given.units, rng=rng(), terms=Terms(cost=0.03), draws=50)

    assert found.is_accepted, found.why
    assert found.why.startswith("Accepted")
    assert found.share == pytest.approx(0.5, abs=0.05)
    chances = found.rule.chances(found.effects.predict(given.units.features))
    assert chances[given.effects > 0.05].mean() > 0.95
    assert chances[given.effects < 0.05].mean() < 0.05
    assert chances.min() >= 0.025
    assert chances.max() <= 0.975
    assert set(found.gains) == set(RIVALS)
    plain = json.loads(json.dumps(found.figures(), allow_nan=False))
    assert Rule(**plain["rule"]) == found.rule
    assert plain["gains"]["response"]["low"] == found.gains["response"].ci_lower
    assert plain["n_judged"] == 10_000


def test_one_effect_for_all_is_refused_nearly_always():
    n_runs, n_accepted = scaled(20), 0
    for seed in range(n_runs):
        given = planted(seed=100 + seed, n=4_000, differing=0.0)
        n_accepted += target(
            given.units, rng=rng(seed), terms=Terms(budget=0.5), draws=10
        ).is_accepted

    assert n_accepted <= max(1, 0.06 * n_runs)


def test_a_message_that_suits_everyone_is_not_targeted():
    given = planted(seed=8, n=6_000, differing=0.0, average=0.25)

    found = target(given.units, rng=rng(), draws=10)

    assert not found.is_accepted
    assert found.share == 1.0
    assert "Everyone seems worth a message" in found.why


def test_what_never_pays_is_refused_even_where_it_beats_the_lot():
    given = planted(seed=9, n=20_000, average=0.0)

    found = target(given.units, rng=rng(), terms=Terms(cost=0.049), draws=10)
    dear = target(given.units, rng=rng(), terms=Terms(cost=5.0), draws=10)

    assert not found.is_accepted
    assert "nobody at all" in found.why
    assert dear.share == 0
    assert dear.why.startswith("Refused: the model expects nobody")
    assert dear.rule.chances(np.array([0.01])).tolist() == [0.025]


def test_a_rule_without_exploring_is_refused_and_strangers_are_drawn_by_lot():
    rule = Rule(above=0.1, at_edge=0.5, explore=0.1)

    assert rule.chances([0.2, 0.1, 0.0, np.nan]).tolist() == pytest.approx([0.95, 0.5, 0.05, 0.5])
    with pytest.raises(PlanError, match=r"0\.05 to 1"):
        Rule(above=0.1, at_edge=0.0, explore=0.01)


@pytest.mark.parametrize(
    "terms", [{"value": 0.0}, {"cost": -1.0}, {"budget": 0.0}, {"budget": 1.5}, {"cost": np.nan}]
)
def test_terms_that_make_no_sense_are_refused(terms):
    with pytest.raises(PlanError, match=r"allowed|must be"):
        Terms(**terms)


def test_halves_that_are_too_small_to_judge_by_are_refused():
    units = planted(seed=10, n=300).units

    with pytest.raises(DataError, match="at least 100"):
        target(units, rng=rng(), draws=10)


def test_an_outcome_that_the_untreated_never_have_can_be_learnt_from():
    given = planted(seed=11, n=6_000).units
    only = Units.of(given.features, given.treated, given.outcome * given.treated, 0.5)

    found = target(only, rng=rng(), terms=Terms(budget=0.5), draws=10)

    assert np.isfinite(found.effects.predict(given.features)).all()
    assert found.values["nobody"].treatment > 0


@pytest.mark.parametrize("terms", [Terms(budget=0.5), Terms(cost=0.04)])
def test_the_womens_mail_of_2008_is_accepted_whatever_the_half(terms):
    units = hillstrom_units("Womens E-Mail")

    found = [target(units, rng=rng(seed), terms=terms, draws=60) for seed in range(3)]

    assert all(it.is_accepted for it in found), [it.why for it in found]
    assert all((it.qini.area.ci_lower or 0) > 0 for it in found)


@pytest.mark.parametrize("terms", [Terms(budget=0.5), Terms(cost=0.04), Terms()])
def test_the_mens_mail_of_2008_is_refused_whatever_the_half(terms):
    units = hillstrom_units("Mens E-Mail")

    found = [target(units, rng=rng(seed), terms=terms, draws=10) for seed in range(3)]

    assert not any(it.is_accepted for it in found)


def test_the_womens_mail_with_a_permuted_treatment_sorts_nobody():
    units = hillstrom_units("Womens E-Mail")
    n_runs, n_covered, n_accepted = scaled(8), 0, 0
    for seed in range(n_runs):
        treated = rng(seed).permutation(units.treated)
        mixed = Units(units.features, treated, units.outcome, units.chance)
        found = target(mixed, rng=rng(seed), terms=Terms(budget=0.5), draws=100)
        n_accepted += found.is_accepted
        n_covered += (found.qini.area.ci_lower or 0) <= 0 <= (found.qini.area.ci_upper or 0)

    assert n_covered / n_runs >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / n_runs)
    assert n_accepted <= 0.025 * n_runs + 3 * np.sqrt(0.025 * n_runs)
