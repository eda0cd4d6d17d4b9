"""Counts too rare for a variance are read exactly, and say so; all others are left alone."""

import pytest
from scipy import stats

from experiments.analysis.analyze import ExperimentPlan, analyze
from experiments.analysis.collected import Collected
from experiments.analysis.readout import Word
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates


def an_arm(events, n, *, at_once=1):
    return Aggregates.from_columns({"c": [float(at_once)] * (events // at_once) + [0.0] * (
        n - events // at_once)})  # fmt: skip


def a_comparison(control, treatment, *, role="primary", method="fixed"):
    plan = ExperimentPlan(
        name="nudge",
        control="control",
        weights={"control": 1, "reminder": 1},
        metrics=(Metric(name="c", kind="count", role=role),),
        method=method,
        planned_sample=2000,
    )
    arms = {"control": control, "reminder": treatment}
    return analyze(plan, arms, collected=Collected(is_at_end=True)).comparisons[0]


@pytest.mark.parametrize("pair", [(3, 12), (0, 7), (5, 0), (19, 30), (6, 6)])
def test_rare_counts_have_the_p_and_interval_of_the_exact_conditional_test(pair):
    entry = a_comparison(an_arm(pair[0], 1000), an_arm(pair[1], 1000))

    total = sum(pair)
    one_tail = min(stats.binom.cdf(pair[1], total, 0.5), stats.binom.sf(pair[1] - 1, total, 0.5))
    shares = stats.binomtest(pair[1], total).proportion_ci(0.95, method="exact")
    effect = entry.effect
    assert effect.pvalue == pytest.approx(min(1.0, 2 * one_tail), rel=1e-9)
    assert entry.method == "exact conditional test of rare counts"
    assert "read exactly" in entry.notes[0]
    assert effect.lift_rel.ci_lower == pytest.approx(shares.low / (1 - shares.low) - 1, abs=1e-9)
    # The difference of rates: the events seen in all, shared out as at either end.
    for end, share in (("ci_lower", shares.low), ("ci_upper", shares.high)):
        by_share = (share - (1 - share)) * total / 1000
        assert getattr(effect.lift_abs, end) == pytest.approx(by_share, abs=1e-9)


def test_no_event_at_all_tells_nothing():
    entry = a_comparison(an_arm(0, 500), an_arm(0, 500))

    assert entry.effect.pvalue == 1.0
    assert not entry.effect.lift_rel.is_bounded
    assert not entry.effect.lift_abs.is_bounded
    assert entry.verdict.word is Word.INCONCLUSIVE


@pytest.mark.parametrize(
    ("events", "at_once", "method"), [(40, 1, "fixed"), (12, 4, "fixed"), (5, 1, "sequential")]
)
def test_many_counts_bunches_and_many_looks_are_not_read_exactly(events, at_once, method):
    arm = an_arm(events, 1000, at_once=at_once)

    assert "exact" not in a_comparison(arm, arm, method=method).method


def test_a_guardrail_of_rare_counts_is_judged_by_its_exact_one_sided_bound():
    entry = a_comparison(an_arm(5, 1000), an_arm(0, 1000), role="guardrail")
    strong = a_comparison(an_arm(18, 1000), an_arm(2, 1000), role="guardrail")

    # 2 * 0.5**5 = 0.0625 two-sided, 0.031 one-sided: harm by the bound that guards one side.
    assert entry.effect.pvalue == pytest.approx(0.0625)
    assert entry.verdict.word is Word.HARM
    assert strong.verdict.word is Word.HARM
    assert a_comparison(
        an_arm(4, 1000), an_arm(1, 1000), role="guardrail"
    ).verdict.word is Word.UNCLEAR  # fmt: skip
