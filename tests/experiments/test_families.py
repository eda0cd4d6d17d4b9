import pytest

from experiments.errors import PlanError
from experiments.evidence.families import EXPLORATORY, Claim, judged_families


def a_claim(pvalue, family="primary", *, metric="orders", variant="b", dunnett=None):
    return Claim(metric, variant, family, pvalue, dunnett)


def test_each_family_is_corrected_by_its_own_rule_and_for_its_own_size():
    claims = [
        a_claim(0.03, "secondary"),
        a_claim(0.02),
        a_claim(0.04, "guardrail"),
        a_claim(0.03, metric="revenue"),
        a_claim(0.02, "secondary", metric="visits"),
        a_claim(0.04, "exploratory"),
        a_claim(0.50, "exploratory", metric="visits"),
    ]

    judged = judged_families(claims, alpha=0.05)

    assert [entry.claim for entry in judged] == claims
    assert [entry.pvalue_adjusted for entry in judged] == pytest.approx(
        [0.03, 0.04, 0.04, 0.04, 0.03, 0.08, 0.50]
    )
    assert [entry.correction for entry in judged] == [
        "bh", "holm", "none", "holm", "bh", "bh", "bh",
    ]  # fmt: skip
    assert [entry.is_found for entry in judged] == [True] * 5 + [False] * 2
    assert [entry.interval_alpha for entry in judged] == pytest.approx(
        [0.05, 0.025, 0.05, 0.025, 0.05, 0.05, 0.05]
    )


def test_only_what_was_not_declared_carries_the_watermark():
    judged = judged_families([a_claim(0.01), a_claim(0.001, "exploratory")], alpha=0.05)

    assert [entry.watermark for entry in judged] == ["", EXPLORATORY]


def test_exploring_is_corrected_even_where_nothing_else_is():
    claims = [a_claim(0.03), a_claim(0.03, "secondary"), *[a_claim(0.03, "exploratory")] * 2]
    claims[3] = a_claim(0.9, "exploratory")

    judged = judged_families(claims, alpha=0.05, primary="none")

    assert [entry.pvalue_adjusted for entry in judged] == [0.03, 0.03, 0.06, 0.9]


def test_dunnetts_p_values_count_once_per_metric():
    claims = [
        a_claim(0.01, dunnett=0.018),
        a_claim(0.02, variant="c", dunnett=0.035),
        a_claim(0.20, metric="revenue", dunnett=0.3),
        a_claim(None, metric="flat"),
    ]

    judged = judged_families(claims, alpha=0.05, primary="dunnett")

    assert [entry.pvalue_adjusted for entry in judged] == [0.036, 0.07, 0.6, None]
    assert judged[0].interval_alpha is None
    with pytest.raises(PlanError, match="b on orders: correction dunnett needs"):
        judged_families([a_claim(0.01)], alpha=0.05, primary="dunnett")


def test_unknown_names_are_refused():
    with pytest.raises(PlanError, match="family 'tertiary' is unknown"):
        judged_families([a_claim(0.1, "tertiary")], alpha=0.05)
    with pytest.raises(PlanError, match="allowed are holm, bh, by, bonferroni, dunnett, none"):
        judged_families([a_claim(0.1)], alpha=0.05, primary="sidak")
    assert judged_families([], alpha=0.05) == []
