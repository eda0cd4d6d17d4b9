import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from experiments.errors import PlanError
from experiments.evidence.multiplicity import adjusted_pvalues


@given(pvalues=st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=30)
def test_corrections_equal_statsmodels(pvalues):
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh"), ("bonferroni", "bonferroni")):
        expected = multipletests(pvalues, method=theirs)[1]
        assert adjusted_pvalues(pvalues, correction=ours) == pytest.approx(list(expected))


def test_a_missing_p_value_is_no_comparison():
    assert adjusted_pvalues([None, 0.04], correction="bonferroni") == [None, 0.04]
    assert adjusted_pvalues([], correction="holm") == []
    assert adjusted_pvalues([0.2, 0.01], correction="none") == [0.2, 0.01]


def test_an_unknown_correction_is_refused():
    with pytest.raises(PlanError, match="allowed are holm, bh, bonferroni, none"):
        adjusted_pvalues([0.1], correction="sidak")
