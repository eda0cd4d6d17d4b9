"""Plan + aggregates -> verdict: the sample ratio first, then one p-value, then the words."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.believing import believed
from experiments.analysis.plan import PriorBelief
from experiments.analysis.readout import Word
from experiments.errors import DataError, PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.bayes import NOT_PEEKING_PROOF, Prior, posterior
from experiments.evidence.equivalence import Margin
from experiments.metrics import Metric
from experiments.reporting.words import sentence, summary
from experiments.sums.aggregates import Aggregates
from tests.experiments.data import aggregates


def an_arm(mean, *, n=1_000, deviation=10.0):
    """Aggregates of n units with exactly this mean and sample variance."""
    return Aggregates(n, ("y",), (mean,), ((deviation**2 * (n - 1),),))


def a_plan(**changes):
    plan = ExperimentPlan(
        name="cart-nudge",
        control="control",
        weights={"control": 1, "reminder": 1},
        metrics=[Metric(name="y", title="revenue")],
        method="fixed",
    )
    return replace(plan, **changes)


def read(reminder, *, control=None, **changes):
    return analyze(a_plan(**changes), {"control": control or an_arm(50.0), "reminder": reminder})


def test_an_effect_is_detected_and_said_in_a_sentence():
    readout = read(an_arm(56.0))

    found = readout.of("y", "reminder")
    assert found.verdict.word is Word.EFFECT
    # 6 / 50; Fieller from se .447 and control se .316: typed once from the formula.
    lower, upper = found.effect.lift_rel.ci_lower, found.effect.lift_rel.ci_upper
    assert (lower, upper) == (pytest.approx(0.1015, abs=5e-4), pytest.approx(0.1388, abs=5e-4))
    assert summary(readout) == ["reminder raised revenue by 12 % (10 % to 14 %)."]


def test_no_effect_names_what_is_ruled_out():
    readout = read(an_arm(50.1))

    assert readout.of("y", "reminder").verdict.word is Word.NO_EFFECT
    assert summary(readout) == ["reminder: no effect on revenue detected; beyond ±2.0 % ruled out."]


def test_a_small_sample_is_inconclusive_not_without_effect():
    readout = read(an_arm(50.0, n=20, deviation=80), control=an_arm(50.0, n=20, deviation=80))

    found = readout.of("y", "reminder")
    assert found.verdict.word is Word.INCONCLUSIVE
    assert "doubling" in found.verdict.rule or "unbounded" in found.verdict.rule


def test_the_smallest_lift_that_matters_separates_no_effect_from_inconclusive():
    strict = read(an_arm(50.1), smallest_lift=0.01).of("y", "reminder").verdict
    loose = read(an_arm(50.1), smallest_lift=0.05).of("y", "reminder").verdict

    assert strict.word is Word.INCONCLUSIVE
    assert "±1.0 %, which matter" in strict.rule
    assert loose.word is Word.NO_MEANINGFUL_EFFECT
    assert "±5.0 % or more" in loose.rule


def test_a_sample_ratio_mismatch_withholds_every_verdict():
    readout = read(an_arm(60.0, n=1_300))

    found = readout.of("y", "reminder")
    assert readout.is_withheld
    assert found.verdict.word is Word.WITHHELD
    assert summary(readout) == [
        "Sample ratio: 1,000 / 1,300 against 50 % / 50 % (p < 0.000001). No verdict is shown; look"
        " for units lost or counted twice in one variant."
    ]
    assert "60" not in sentence(found, control="control")


def test_what_is_significant_alone_but_not_among_many_is_no_effect_found_nor_excluded():
    arms = {"control": an_arm(50.0)} | {f"v{i}": an_arm(50.0) for i in range(9)}
    arms["v3"] = an_arm(51.0)  # p = .025 alone, .23 among nine.

    readout = analyze(a_plan(weights=dict.fromkeys(arms, 1)), arms)

    found = readout.of("y", "v3")
    assert found.effect.pvalue == pytest.approx(0.0255, abs=5e-4)
    assert found.pvalue_adjusted == pytest.approx(9 * found.effect.pvalue)
    assert found.verdict.word is Word.INCONCLUSIVE
    assert "among all" in found.verdict.rule


def test_families_are_corrected_apart():
    columns = {"a": 0.0, "b": 0.0, "c": 0.0}
    rng = np.random.default_rng(1)
    arms = {
        name: {column: rng.normal(shift, 1, 400) + 1 for column in columns}
        for name, shift in (("control", 0.0), ("reminder", 0.15))
    }
    metrics = [
        Metric(name="a"),
        Metric(name="b", role="secondary"),
        Metric(name="c", role="guardrail"),
    ]

    readout = analyze(a_plan(metrics=metrics), aggregates(arms))

    for name in columns:  # One comparison in each family: nothing to correct.
        found = readout.of(name, "reminder")
        assert found.pvalue_adjusted == found.effect.pvalue


def test_a_metric_without_variation_gets_no_test_and_no_crash():
    found = read(an_arm(50.0, deviation=0), control=an_arm(50.0, deviation=0)).of("y", "reminder")

    assert found.effect.pvalue is None
    assert found.verdict.word is Word.INCONCLUSIVE
    assert "does not vary" in found.verdict.rule


@pytest.mark.parametrize("method", ["fixed", "sequential", "bayesian"])
def test_absolute_and_relative_never_disagree_whatever_the_method(method):
    # On a well-known library p was 1.2e-7 absolute and 2.7e-4 relative for the same data: which
    # is significant depended on a display switch. Here there is one p-value and both intervals
    # exclude zero exactly when it says so.
    for mean in np.linspace(48, 52, 41):
        effect = read(an_arm(mean), method=method, planned_sample=2_000).comparisons[0].effect
        for interval in (effect.lift_abs, effect.lift_rel):
            excludes = interval.ci_lower > 0 or interval.ci_upper < 0
            assert excludes == (effect.pvalue <= 0.05)


def test_the_sequential_interval_is_wider_and_needs_a_planned_sample():
    fixed = read(an_arm(51.0)).comparisons[0].effect.lift_abs
    always = read(an_arm(51.0), method="sequential", planned_sample=2_000)

    assert always.comparisons[0].effect.lift_abs.ci_lower < fixed.ci_lower
    with pytest.raises(PlanError, match="planned_sample"):
        a_plan(method="sequential")


def test_the_bayesian_reading_says_that_it_is_not_peeking_proof():
    readout = read(an_arm(51.0), method="bayesian")

    found = readout.of("y", "reminder")
    assert NOT_PEEKING_PROOF in readout.notes
    # Flat prior: one minus half the p-value, and sigma phi(z) - mu Phi(-z) lost on average.
    assert found.posterior.p_better == pytest.approx(1 - found.effect.pvalue / 2)
    rng = np.random.default_rng(2)
    draws = rng.normal(1.0, found.effect.std_error, 400_000)
    assert found.posterior.expected_loss == pytest.approx(np.maximum(-draws, 0).mean(), rel=0.05)


def test_the_bayesian_reading_knows_which_direction_is_better():
    metrics = [Metric(name="y", title="complaints", better="lower")]

    readout = read(an_arm(52.0), method="bayesian", metrics=metrics)

    assert readout.comparisons[0].posterior.p_better < 0.001
    assert summary(readout)[0].endswith(", which is worse.")


def test_few_conversions_are_read_by_the_score_interval_and_many_by_welchs():
    rare = Metric(name="y", kind="proportion")
    few = Aggregates(1_000, ("y",), (0.005,), ((5 * 0.995,),))
    many = Aggregates(20_000, ("y",), (0.1,), ((20_000 * 0.09,),))

    assert (
        read(few, control=few, metrics=[rare]).comparisons[0].method == "Miettinen-Nurminen score"
    )
    assert read(many, control=many, metrics=[rare]).comparisons[0].method == "Welch t-test"


def test_few_conversions_watched_all_the_time_are_read_exactly():
    rare = Metric(name="y", kind="proportion")
    few = Aggregates(1_000, ("y",), (0.005,), ((5 * 0.995,),))
    more = Aggregates(1_000, ("y",), (0.03,), ((30 * 0.97,),))

    found = read(more, control=few, metrics=[rare], method="sequential", planned_sample=2_000)

    assert found.comparisons[0].method == "exact sequence of conversions"
    assert found.comparisons[0].effect.pvalue < 0.05


def of_conversions(events, n):
    share = events / n
    return Aggregates(n, ("y",), (share,), ((events * (1 - share),),))


@pytest.mark.parametrize("method", ["fixed", "sequential", "group_sequential", "bayesian"])
def test_a_guardrail_is_not_harmed_by_what_chance_explains_beside_an_empty_control(method):
    # None of 196 against 27 of 1,654: 3.2 would be expected, and none of those comes once in 25.
    guard = Metric(name="y", kind="proportion", role="guardrail", better="lower")
    plan = {"looks": (1.0,)} if method == "group_sequential" else {}

    found = read(
        of_conversions(27, 1_654), control=of_conversions(0, 196), metrics=[guard], method=method,
        weights={"control": 10, "reminder": 90}, planned_sample=1_850, alpha=0.01, **plan,
    ).comparisons[0]  # fmt: skip

    assert found.effect.pvalue > 0.01
    assert found.verdict.word is Word.UNCLEAR


@pytest.mark.parametrize("method", ["fixed", "sequential"])
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_rare_guardrails_word_never_contradicts_the_interval_that_is_shown(method, better):
    guard = Metric(name="y", kind="proportion", role="guardrail", better=better)

    for control, treatment in itertools.product([0, 1, 3, 9, 30], repeat=2):
        found = read(
            of_conversions(treatment, 800), control=of_conversions(control, 800), metrics=[guard],
            method=method, planned_sample=1_600, margins={"y": Margin(0.3, relative=True)},
        ).comparisons[0]  # fmt: skip

        lift, word = found.effect.lift_rel, found.verdict.word
        worse = treatment > control if better == "lower" else treatment < control
        if word is Word.HARM:
            assert worse
            assert found.effect.pvalue <= 0.1
        if word is Word.SAFE:
            near = lift.ci_lower if better == "higher" else -(lift.ci_upper or 9)
            assert near > -0.45
            assert not (worse and found.effect.pvalue <= 0.05)
        if found.effect.pvalue <= 0.05 and worse:
            assert word is Word.HARM


def test_a_harmed_guardrail_is_among_the_first_words_even_where_nothing_is_decided_yet():
    metrics = [
        Metric(name="y", title="revenue"),
        Metric(name="z", title="Complaints", kind="proportion", role="guardrail", better="lower"),
    ]
    arms = [
        Aggregates(
            2_000, ("y", "z"), (50.0, share),
            ((100 * 1_999, 0.0), (0.0, 2_000 * share * (1 - share))),
        )
        for share in (0.05, 0.10)
    ]  # fmt: skip

    readout = read(arms[1], control=arms[0], metrics=metrics)

    assert summary(readout) == [
        "reminder: no effect on revenue detected; beyond ±1.2 % ruled out.",
        "reminder harms the guardrail Complaints: 10.00 % against 5.00 %.",
    ]
    assert readout.decision.reason == "reminder harms the guardrail Complaints"


def test_with_several_primary_metrics_the_decision_names_the_one_that_rose():
    metrics = [Metric(name="y", title="revenue"), Metric(name="z", title="orders")]
    arms = [
        Aggregates(2_000, ("y", "z"), (50.0, mean), ((100 * 1_999, 0.0), (0.0, 1_999.0)))
        for mean in (1.0, 1.2)
    ]

    readout = read(arms[1], control=arms[0], metrics=metrics)

    assert readout.decision.reason == "reminder is better on orders"


def test_a_guardrail_that_nobody_met_says_so():
    guard = Metric(name="y", kind="proportion", role="guardrail", better="lower")
    nobody = of_conversions(0, 800)

    found = read(nobody, control=nobody, metrics=[guard], method="sequential", planned_sample=1_600)

    assert found.comparisons[0].verdict.rule == "nobody did it yet, in either variant"


def test_a_lowered_metric_reads_as_lowered():
    assert summary(read(an_arm(45.0))) == [
        "reminder lowered revenue by 10 % (8.3 % to 12 %), which is worse."
    ]


def test_the_interval_in_words_is_the_interval():
    found = read(an_arm(56.0)).comparisons[0]
    again = relative_lift_of_plain_means(56.0, 50.0)

    assert found.effect.lift_rel.ci_lower == pytest.approx(again[0], rel=1e-3)
    assert found.effect.lift_rel.ci_upper == pytest.approx(again[1], rel=1e-3)


def relative_lift_of_plain_means(treatment, control):
    """Fieller once more, straight from statistics.md 2.3 in z, r and g."""
    z, variance = 1.96, 0.1
    r, g = treatment / control, z**2 * variance / control**2
    half = z * ((variance + r**2 * variance - g * variance) / control**2) ** 0.5
    return (r - half) / (1 - g) - 1, (r + half) / (1 - g) - 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control": "contrl"}, "is not a variant"),
        ({"weights": {"control": 1}}, "only one variant"),
        ({"metrics": []}, "metrics must be given"),
        ({"alpha": 5}, "alpha 5"),
        ({"correction": "sidak"}, "allowed are holm"),
        ({"adjust": "cuped"}, "allowed are lin"),
    ],
)
def test_plans_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(PlanError, match=message):
        a_plan(**changes)


def test_data_that_does_not_fit_the_plan_is_refused():
    with pytest.raises(DataError, match="in the data but not in the plan"):
        analyze(a_plan(), {"control": an_arm(1.0), "reminder": an_arm(1.0), "x": an_arm(1.0)})
    with pytest.raises(DataError, match="'reminder' has 0 units"):
        analyze(a_plan(), {"control": an_arm(1.0)})


def test_what_so_many_units_could_show_stands_beside_an_inconclusive_answer():
    found = read(an_arm(50.1), smallest_lift=0.01).of("y", "reminder")

    # (1.961 + 0.8416) standard errors of .4472, over the control's 50: Welch's t has 1,998 degrees.
    assert found.verdict.word is Word.INCONCLUSIVE
    assert found.visible_lift == pytest.approx((1.96115 + 0.841621) * 0.447214 / 50, rel=1e-5)


def test_a_prior_pulls_the_reading_and_keeps_interval_and_p_in_agreement():
    flat = read(an_arm(51.0), method="bayesian").of("y", "reminder")
    prior = PriorBelief(mean=0.0, deviation=0.005)

    pulled = read(an_arm(51.0), method="bayesian", prior=prior).of("y", "reminder")

    # Prior variance (.005 x 50)^2 = .0625 against .2: the estimate of 1 keeps .0625 / .2625.
    weight = 0.0625 / 0.2625
    assert pulled.effect.lift_abs.estimate == pytest.approx(weight)
    assert pulled.effect.std_error == pytest.approx((0.2 * weight) ** 0.5)
    assert pulled.posterior.p_better < flat.posterior.p_better
    expected = posterior(flat.estimates, prior=Prior(0.0, 0.005**2, relative=True))
    assert pulled.posterior.mean == pytest.approx(expected.mean, rel=1e-12)
    assert pulled.posterior.deviation == pytest.approx(expected.deviation, rel=1e-12)
    assert pulled.effect.pvalue == pytest.approx(2 * (1 - expected.p_better), rel=1e-9)
    lower, upper = pulled.effect.lift_rel.ci_lower, pulled.effect.lift_rel.ci_upper
    assert (lower > 0 or upper < 0) == (pulled.effect.pvalue <= 0.05)


def test_the_joint_posterior_of_both_means_is_the_one_of_bayes_theorem():
    # Two means with covariance, a flat prior on the control and a normal one on the difference:
    # the posterior in its precision form, inverted numerically.
    both = Estimates(
        control=10.0, treatment=10.8, control_variance=0.04, treatment_variance=0.05,
        covariance=0.01, difference_variance=0.07, n_control=100, n_treatment=100,
        degrees_of_freedom=198.0,
    )  # fmt: skip
    observed = np.array([10.0, 0.8])  # control and difference
    spread = np.array([[0.04, 0.01 - 0.04], [0.01 - 0.04, 0.07]])
    prior_precision = np.diag([0.0, 1 / (0.03 * 10.0) ** 2])
    covariance = np.linalg.inv(np.linalg.inv(spread) + prior_precision)
    mean = covariance @ (np.linalg.inv(spread) @ observed + prior_precision @ [0.0, 0.1])

    found = believed(both, PriorBelief(mean=0.01, deviation=0.03))

    assert found.control == pytest.approx(mean[0], rel=1e-12)
    assert found.treatment - found.control == pytest.approx(mean[1], rel=1e-12)
    assert found.control_variance == pytest.approx(covariance[0, 0], rel=1e-12)
    assert found.difference_variance == pytest.approx(covariance[1, 1], rel=1e-12)
    assert found.covariance - found.control_variance == pytest.approx(covariance[0, 1], rel=1e-12)
    assert found.treatment_variance == pytest.approx(
        covariance[0, 0] + 2 * covariance[0, 1] + covariance[1, 1], rel=1e-12
    )
