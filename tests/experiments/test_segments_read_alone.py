"""A dimension that cannot be read is left out alone, with its reason; the others are shown."""

import numpy as np
import pytest

from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected
from experiments.analysis.plan import ExperimentPlan
from experiments.metrics import Metric
from experiments.reporting import report
from experiments.sums.aggregates import Aggregates, merged

ARMS = ("control", "reminder")
PLAN = ExperimentPlan(
    name="nudge", control="control", weights={"control": 1, "reminder": 1},
    metrics=(Metric(name="y", title="revenue"),), planned_sample=2_000,
    dimensions=("country", "plan"),
)  # fmt: skip


def a_level(rng, *, lift=0.5, spread=3.0, n=300):
    return {
        name: Aggregates.from_columns({"y": rng.normal(10 + shift, spread, n).tolist()})
        for name, shift in zip(ARMS, (0.0, lift), strict=True)
    }


def constant(value, n=300):
    return {name: Aggregates.from_columns({"y": [value] * n}) for name in ARMS}


def read(**dimensions):
    whole = dimensions["country"]
    sums = {name: merged(arms[name] for arms in whole.values()) for name in ARMS}
    return analyze(PLAN, sums, collected=Collected(dimensions=dimensions))


@pytest.fixture
def countries():
    rng = np.random.default_rng(11)
    return {"DE": a_level(rng), "FR": a_level(rng, lift=1.5)}


@pytest.mark.parametrize(
    ("unreadable", "why"),
    [
        ({"free": constant(1.0), "paid": constant(2.0)}, "nothing varies among its units"),
        ({"free": a_level(np.random.default_rng(3)), "paid": constant(2.0)}, "has 1 level that"),
        ({"free": a_level(np.random.default_rng(4))}, "has 1 level that"),
        ({}, "has 0 levels that"),
    ],
    ids=["no variance", "one that varies", "one level", "nobody has it"],
)
def test_one_dimension_that_cannot_be_read_hides_no_other(countries, unreadable, why):
    alone = read(country=countries)
    both = read(country=countries, plan=unreadable)

    (segments,) = both.segments
    assert [it.name for it in segments.dimensions] == ["country"]
    assert segments == alone.segments[0], "what is not read costs the others no correction"
    (note,) = [it for it in both.notes if "'plan'" in it]
    assert why in note
    assert note.startswith("By segment, reminder: ")
    assert "dimension 'plan' has" in " ".join(report.text(both).split())
    assert not [it for it in alone.notes if "By segment" in it]


def test_dimensions_that_can_be_read_are_corrected_for_their_number_together(countries):
    rng = np.random.default_rng(12)
    plans = {"free": a_level(rng), "paid": a_level(rng)}

    read_both = read(country=countries, plan=plans).segments[0].dimensions

    pvalues = sorted(it.pvalue for it in read_both)
    adjusted = sorted(it.pvalue_adjusted for it in read_both)
    assert adjusted == pytest.approx([min(2 * pvalues[0], pvalues[1]), pvalues[1]], abs=1e-12)
