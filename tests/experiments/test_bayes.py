"""Beliefs in closed form: against scipy's integrals, draws, and each other."""

from math import inf, sqrt

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats
from statsmodels.stats.meta_analysis import combine_effects

from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.bayes import Prior, flat_prior_posterior, posterior, posteriors
from experiments.evidence.best import chances_of_being_best
from experiments.evidence.beta_binomial import chance_of_exceeding, conversion_posterior
from experiments.evidence.compare import normal, welch
from experiments.evidence.priors import LEAST_EXPERIMENTS, fitted_prior


def estimates(difference, variance, *, control=2.0, freedom=inf):
    half = variance / 2
    return Estimates(control, control + difference, half, half, 0.0, variance, 500, 500, freedom)


def test_a_flat_prior_says_what_the_p_value_says():
    found = estimates(0.13, 0.01)

    belief = flat_prior_posterior(found)

    assert belief.p_better == pytest.approx(1 - normal(found, alpha=0.05).pvalue / 2)
    assert belief.credible.ci_lower == pytest.approx(0.13 - 1.959963984540054 * 0.1)


def test_losses_and_region_are_the_integrals():
    belief = posterior(estimates(0.05, 0.01), rope=(-0.02, 0.03))
    density = stats.norm(0.05, 0.1)

    def expected(gain):
        return integrate.quad(lambda d: gain(d) * density.pdf(d), -1.5, 1.5, points=[0])[0]

    assert belief.expected_loss == pytest.approx(expected(lambda d: max(-d, 0)), abs=1e-10)
    assert belief.expected_loss_of_control == pytest.approx(
        expected(lambda d: max(d, 0)), abs=1e-10
    )
    assert belief.rope_share == pytest.approx(density.cdf(0.03) - density.cdf(-0.02))
    # What shipping may lose and keeping may lose differ by the effect itself.
    assert belief.expected_loss_of_control - belief.expected_loss == pytest.approx(0.05)


@pytest.mark.parametrize("freedom", [2.5, 9.0, 300.0])
def test_few_units_make_it_students_t_whose_losses_are_the_integrals(freedom):
    found = estimates(0.13, 0.01, freedom=freedom)

    belief = posterior(found, rope=(-0.02, 0.03))

    law = stats.t(freedom, 0.13, 0.1)

    def expected(gain):
        ends = [(-np.inf, 0), (0, np.inf)]
        return sum(integrate.quad(lambda d: gain(d) * law.pdf(d), *end)[0] for end in ends)

    assert belief.p_better == pytest.approx(law.sf(0), rel=1e-9)
    assert belief.p_better == pytest.approx(1 - welch(found, alpha=0.05).pvalue / 2, rel=1e-9)
    assert belief.credible.ci_lower == pytest.approx(law.ppf(0.025), rel=1e-9)
    assert belief.rope_share == pytest.approx(law.cdf(0.03) - law.cdf(-0.02), rel=1e-9)
    assert belief.expected_loss == pytest.approx(expected(lambda d: max(-d, 0)), rel=1e-5)
    assert belief.expected_loss_of_control == pytest.approx(expected(lambda d: max(d, 0)), rel=1e-5)
    assert belief.expected_loss > posterior(estimates(0.13, 0.01)).expected_loss


def test_a_single_degree_of_freedom_has_no_finite_loss():
    assert posterior(estimates(0.13, 0.01, freedom=1.0)).expected_loss == inf


def test_a_prior_shrinks_by_the_published_weights():
    # Precision-weighted: 1 / (1/V + 1/tau2) and its mean.
    belief = posterior(estimates(0.3, 0.01), prior=Prior(0.02, 0.005))

    assert belief.deviation**2 == pytest.approx(1 / (1 / 0.01 + 1 / 0.005))
    assert belief.mean == pytest.approx((0.3 / 0.01 + 0.02 / 0.005) / (1 / 0.01 + 1 / 0.005))
    assert 0.02 < belief.mean < 0.3


def test_a_vague_prior_is_a_flat_one_and_a_relative_prior_is_scaled_by_the_control():
    found = estimates(0.3, 0.01, control=-4.0)

    assert posterior(found, prior=Prior(0, 1e9)).mean == pytest.approx(0.3)
    assert posterior(found, prior=Prior(0.01, 0.0004, relative=True)) == posterior(
        found, prior=Prior(0.04, 0.0064)
    )
    with pytest.raises(DataError, match="control mean is 0"):
        posterior(estimates(0.3, 0.01, control=0.0), prior=Prior(0, 1, relative=True))


def test_where_lower_is_better_shipping_loses_when_it_rises():
    up = posterior(estimates(0.1, 0.01), better="lower")
    down = posterior(estimates(-0.1, 0.01), better="higher")

    assert up.p_better == pytest.approx(down.p_better)
    assert up.expected_loss == pytest.approx(down.expected_loss)
    assert up.p_better < 0.5


def test_a_thousand_at_once_equal_one_by_one():
    rng = np.random.default_rng(1)
    differences, variances = rng.normal(0, 0.2, 1_000), rng.uniform(0.001, 0.1, 1_000)

    many = posteriors(
        differences, variances, prior=Prior(0.01, 0.02), better="lower", rope=(-0.01, 0.01)
    )

    for i in range(0, 1_000, 37):
        one = posterior(
            estimates(differences[i], variances[i]),
            prior=Prior(0.01, 0.02),
            better="lower",
            rope=(-0.01, 0.01),
        )
        assert many.p_better[i] == pytest.approx(one.p_better, rel=1e-9)
        assert many.expected_loss[i] == pytest.approx(one.expected_loss, rel=1e-9)
        assert many.expected_loss_of_control[i] == pytest.approx(
            one.expected_loss_of_control, rel=1e-9
        )
        assert many.mean[i] == pytest.approx(one.mean)
        assert many.rope_share[i] == pytest.approx(one.rope_share, rel=1e-6)


def test_nothing_that_varies_is_believed_nothing_of():
    assert posterior(estimates(0.0, 0.0)) is None
    with pytest.raises(DataError, match="variance above 0"):
        posteriors([0.1], [0.0])
    with pytest.raises(PlanError, match="upside down"):
        posterior(estimates(0.1, 0.1), rope=(0.1, -0.1))
    for variance in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(PlanError, match="is not one"):
            Prior(0.0, variance)
    with pytest.raises(PlanError, match="in_units_of"):
        posteriors([0.1], [0.1], prior=Prior(0, 1, relative=True))


@pytest.mark.parametrize("seed", range(4))
def test_fitted_priors_equal_statsmodels(seed):
    rng = np.random.default_rng(seed)
    variances = rng.uniform(0.001, 0.02, 25)
    effects = rng.normal(0.02, 0.12, 25) + rng.normal(0, np.sqrt(variances))

    moments = fitted_prior(list(effects), list(variances), method="moments")
    expected = combine_effects(effects, variances, method_re="chi2")
    assert moments.variance == pytest.approx(expected.tau2, rel=1e-9)
    assert moments.mean == pytest.approx(expected.mean_effect_re, rel=1e-9)
    found = fitted_prior(list(effects), list(variances))
    expected = combine_effects(effects, variances, method_re="iterated", atol=1e-13)
    if (
        expected.tau2 > 0
    ):  # Under one seed its iteration never leaves 0; the equation decides there.
        assert found.variance == pytest.approx(expected.tau2, rel=1e-6)
        assert found.mean == pytest.approx(expected.mean_effect_re, rel=1e-6)

    def excess(spread):
        weights = 1 / (variances + spread)
        return weights @ (effects - np.average(effects, weights=weights)) ** 2 - 24

    assert found.variance == pytest.approx(optimize.brentq(excess, 0, 1, xtol=1e-15), rel=1e-9)


def test_estimates_shrunk_by_the_fitted_prior_are_nearer_to_the_truth():
    rng = np.random.default_rng(5)
    truth = rng.normal(0.0, 0.05, 200)
    found = truth + rng.normal(0, 0.1, 200)
    prior = fitted_prior(list(found), [0.01] * 200)

    shrunk = posteriors(found, 0.01, prior=prior).mean

    assert sqrt(prior.variance) == pytest.approx(0.05, abs=0.02)
    assert np.mean((shrunk - truth) ** 2) < 0.4 * np.mean((found - truth) ** 2)


def test_a_prior_from_too_little_or_from_mere_chance_is_refused():
    with pytest.raises(DataError, match=f"at least {LEAST_EXPERIMENTS}"):
        fitted_prior([0.1, 0.2], [0.1, 0.1])
    with pytest.raises(DataError, match="no more than their own errors"):
        fitted_prior([0.1] * 6, [0.1] * 6)
    with pytest.raises(DataError, match="no more than their own errors"):
        fitted_prior([0.1] * 6, [0.1] * 6, method="moments")
    with pytest.raises(DataError, match="6 effects, but 5 variances"):
        fitted_prior([0.1] * 6, [0.1] * 5)
    with pytest.raises(DataError, match="finite value"):
        fitted_prior([0.1] * 5 + [float("nan")], [0.1] * 6)
    with pytest.raises(PlanError, match="allowed are paule-mandel, moments"):
        fitted_prior([0.1] * 6, [0.1] * 6, method="reml")


def test_the_best_of_two_is_the_better_of_two():
    chances = chances_of_being_best([1.0, 1.2], [0.1, 0.15])

    assert chances[1] == pytest.approx(stats.norm.sf(0, 0.2, np.hypot(0.1, 0.15)), abs=1e-13)
    assert chances_of_being_best([1.0, 1.2], [0.1, 0.15], better="lower")[0] == pytest.approx(
        chances[1]
    )


def test_the_best_of_five_is_the_gauss_hermite_integral_and_what_draws_say():
    means = np.array([0.0, 0.05, 0.1, 0.12, -0.2])
    deviations = np.array([0.1, 0.12, 0.09, 0.1, 0.1])
    nodes, weights = np.polynomial.hermite.hermgauss(120)

    found = chances_of_being_best(list(means), list(deviations))

    for k in range(5):
        x = means[k] + sqrt(2) * deviations[k] * nodes
        others = np.prod(
            [special.ndtr((x - means[i]) / deviations[i]) for i in range(5) if i != k], axis=0
        )
        assert found[k] == pytest.approx(weights @ others / sqrt(np.pi), abs=1e-9)
    draws = np.random.default_rng(6).normal(means, deviations, (200_000, 5)).argmax(axis=1)
    assert found == pytest.approx(np.bincount(draws) / len(draws), abs=0.004)
    assert sum(found) == pytest.approx(1.0)


def test_a_certain_one_among_vague_ones_is_still_exact():
    # Where a Gauss-Hermite rule of 64 points is a per cent off.
    means, deviations = [0.0, 0.1, 0.11], [0.05, 0.07, 0.001]

    found = chances_of_being_best(means, deviations)

    expected = integrate.quad(
        lambda x: (
            stats.norm.pdf(x, 0.11, 0.001)
            * stats.norm.cdf(x, 0.1, 0.07)
            * stats.norm.cdf(x, 0.0, 0.05)
        ),
        0.1,
        0.12,
        epsabs=1e-13,
    )[0]
    assert found[2] == pytest.approx(expected, abs=1e-10)


def test_a_thousand_variants_have_chances_too_and_equal_ones_share():
    chances = chances_of_being_best([1.0] * 1_000, [0.1] * 1_000)

    assert chances == pytest.approx([0.001] * 1_000)
    for means, deviations in (([], []), ([1.0], [0.0]), ([float("nan"), 1], [1, 1]), ([1], [1, 2])):
        with pytest.raises(DataError):
            chances_of_being_best(means, deviations)


def exact_sum(a, b, other_a, other_b):
    """P(Beta(a, b) > Beta(other)) for a whole number a, term by term."""
    i = np.arange(a)
    logs = (
        special.betaln(other_a + i, b + other_b)
        - np.log(b + i)
        - special.betaln(1 + i, b)
        - special.betaln(other_a, other_b)
    )
    return float(np.exp(logs).sum())


def test_one_rate_exceeds_the_other_as_often_as_the_finite_sum_says():
    cases = [
        (1, 1, 1, 1), (6, 96, 3, 99), (1, 5, 3, 2), (100, 9_900, 120, 9_880), (2, 50, 40, 10),
        (5_200, 100_000, 5_000, 100_000), (3, 10**6, 1, 10**6),
    ]  # fmt: skip

    found = [float(chance_of_exceeding(*case)[0]) for case in cases]

    # The sum itself keeps about nine digits at a hundred thousand units.
    assert found == pytest.approx([exact_sum(*case) for case in cases], abs=1e-9)


def test_half_counts_and_many_pairs_at_once():
    together = chance_of_exceeding(
        [0.5, 12.5, 3.0], [0.5, 80.5, 7.0], [0.5, 9.5, 3.0], [0.5, 90, 7]
    )

    alone = [
        float(chance_of_exceeding(*case)[0])
        for case in ((0.5, 0.5, 0.5, 0.5), (12.5, 80.5, 9.5, 90), (3.0, 7.0, 3.0, 7.0))
    ]
    assert list(together) == pytest.approx(alone, abs=1e-9)
    assert together[0] == pytest.approx(0.5)
    expected = integrate.quad(
        lambda x: stats.beta.pdf(x, 12.5, 80.5) * stats.beta.cdf(x, 9.5, 90), 0, 1
    )[0]
    assert together[1] == pytest.approx(expected, abs=1e-9)


def test_conversions_are_believed_as_draws_say():
    rng = np.random.default_rng(7)
    belief = conversion_posterior(control=(7, 220), treatment=(15, 200), prior=(1, 9))
    c, t = rng.beta(8, 222, 400_000), rng.beta(16, 194, 400_000)

    assert belief.p_better == pytest.approx(np.mean(t > c), abs=0.003)
    assert belief.expected_loss == pytest.approx(np.mean(np.maximum(c - t, 0)), abs=1e-4)
    assert belief.expected_loss_of_control == pytest.approx(np.mean(np.maximum(t - c, 0)), abs=2e-4)
    assert belief.treatment == pytest.approx(16 / 210)
    worse = conversion_posterior(
        control=(7, 220), treatment=(15, 200), prior=(1, 9), better="lower"
    )
    assert worse.p_better == pytest.approx(1 - belief.p_better)
    assert worse.expected_loss == belief.expected_loss_of_control


def test_many_conversions_meet_the_normal_posterior():
    belief = conversion_posterior(control=(5_000, 100_000), treatment=(5_150, 100_000))
    p_c, p_t = 0.05, 0.0515
    variance = p_c * (1 - p_c) / 100_000 + p_t * (1 - p_t) / 100_000

    plain = posterior(estimates(p_t - p_c, variance))

    assert belief.p_better == pytest.approx(plain.p_better, abs=5e-4)


def test_impossible_conversions_are_refused():
    with pytest.raises(DataError, match="treatment: 3 conversions of 2 units"):
        conversion_posterior(control=(1, 2), treatment=(3, 2))
    with pytest.raises(PlanError, match="beta prior"):
        conversion_posterior(control=(1, 2), treatment=(1, 2), prior=(0, 1))
    with pytest.raises(DataError, match="above 0"):
        chance_of_exceeding(0, 1, 1, 1)
    empty = conversion_posterior(control=(0, 0), treatment=(0, 0))
    assert empty.p_better == pytest.approx(0.5)
