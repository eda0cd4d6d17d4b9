"""The usual mistakes in concluding, the second half of the facts' table; see `test_mistakes`."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from campaigns.analysis_forms import AnalysisForm
from engine.core.model.instants import DAY
from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected, Estimated
from experiments.analysis.decision import Choice
from experiments.analysis.plan import frozen
from experiments.analysis.readout import Word
from experiments.bandits.log import require_vector
from experiments.errors import DataError, PlanError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.metrics import Metric
from experiments.programme.interactions import independence_pvalue
from experiments.programme.meta import PastEffect, between_variance, shrunk
from experiments.reporting.words import srm_sentence
from tests.engine.test_analyze_command import a_file, antiphon
from tests.engine.test_readout import AS_OF, START, a_metric, a_study, arms, keep_exposures
from tests.experiments.test_mistakes import BASIC, SPEND, a_plan, database, of, read, two

__all__ = ["antiphon", "database"]


# --- what is concluded ----------------------------------------------------------------------------


def test_many_metrics_are_corrected_and_late_ones_marked_and_without_a_say():
    names = [f"m{i}" for i in range(5)]
    rng = np.random.default_rng(3)
    sums = {
        arm: of(**{name: rng.normal(10 + (arm == "b") * (name == "m0"), 6, 400) for name in names})
        for arm in "ab"
    }
    declared = a_plan(metrics=tuple(Metric(name=name) for name in names))
    other = frozen(a_plan(metrics=(Metric(name="another"),)))

    corrected = analyze(declared, sums)
    late = analyze(declared, sums, collected=Collected(kept_plan=other))

    raw = [corrected.of(name, "b").effect.pvalue for name in names]
    assert corrected.of("m0", "b").pvalue_adjusted == pytest.approx(min(5 * min(raw), 1))
    assert late.of("m0", "b").metric.role == "exploratory"
    assert any("Exploratory" in note for note in late.of("m0", "b").notes)
    assert late.decision.choice is Choice.INCONCLUSIVE
    assert "decides nothing" in late.decision.reason


def test_dunnetts_interval_and_p_agree_and_a_file_may_ask_for_it_at_one_look_only():
    rng = np.random.default_rng(12)
    plan = a_plan(weights=dict.fromkeys("abcd", 1), correction="dunnett")
    decided = set()
    for _ in range(25):
        sums = {name: of(spend=rng.normal(10 + (name != "a"), 6, 200)) for name in "abcd"}
        for it in analyze(plan, sums).comparisons:
            excluded = it.lift_family.ci_lower > 0 or it.lift_family.ci_upper < 0
            assert excluded == (it.pvalue_adjusted <= 0.05)
            assert it.pvalue_adjusted >= it.effect.pvalue
            decided.add(excluded)
    assert decided == {True, False}

    AnalysisForm.model_validate({"correction": "dunnett", "method": "fixed"})
    with pytest.raises(ValueError, match="dunnett is for one look"):
        AnalysisForm.model_validate({"correction": "dunnett"})


def test_too_few_units_are_inconclusive_with_what_they_could_have_shown():
    few, many = two(0.0, n=40), two(0.0, n=40_000)
    plan = a_plan(smallest_lift=0.05)

    open_still, settled = analyze(plan, few), analyze(plan, many)

    found = open_still.of("spend", "b")
    assert found.verdict.word is Word.INCONCLUSIVE
    reach = stats.t.ppf(0.975, found.estimates.degrees_of_freedom) + stats.norm.ppf(0.8)
    assert found.visible_lift == pytest.approx(
        reach * found.effect.std_error / found.control, rel=1e-9
    )
    assert settled.of("spend", "b").verdict.word is Word.NO_MEANINGFUL_EFFECT


def test_the_winners_curse_is_taken_out_of_what_is_added_up():
    rng = np.random.default_rng(5)
    truths = rng.normal(0, 1, 300)
    effects = [PastEffect(str(i), it + rng.normal(0, 1), 1.0) for i, it in enumerate(truths)]

    pulled = shrunk(effects, tau2=between_variance(effects, around=0.0))

    won = [i for i, it in enumerate(effects) if it.estimate > 1.96]
    raw = sum(effects[i].estimate - truths[i] for i in won) / len(won)
    mended = sum(pulled[i].estimate - truths[i] for i in won) / len(won)
    assert raw > 0.5
    assert abs(mended) < 0.3


def test_a_bandits_means_are_never_read_as_effects_nor_draws_without_their_chances():
    sums, given = (
        two(),
        unadjusted(*[moments(it, SPEND, covariates=()) for it in two(5.0).values()]),
    )
    found = Collected(
        estimated={("spend", "b"): Estimated(given, "AIPW")},
        dimensions={"d": {"x": sums, "y": sums}}, received=sums, ages=sums,
    )  # fmt: skip

    readout = analyze(a_plan(), sums, collected=found)

    assert readout.of("spend", "b").estimates == given
    assert readout.segments == readout.compliers == readout.wear == ()
    with pytest.raises(DataError, match="no estimate"):
        analyze(
            a_plan(metrics=(SPEND, Metric(name="other", column="spend"))), sums, collected=found
        )
    with pytest.raises(DataError):
        require_vector({}, where="a draw")


def test_early_conversions_wait_until_the_window_has_closed_in_every_variant(database):
    keep_exposures(database, arms(40))
    keep_exposures(database, arms(30, first=500, at=AS_OF - 2 * DAY))

    found = read(database, a_study(a_metric()))

    assert sum(found.n.values()) == 40
    assert found.n_immature == 30


def test_less_than_a_whole_week_is_said(database):
    keep_exposures(database, arms(40, at=START))

    notes = read(database, a_study(a_metric())).readout.notes

    assert any("whole weeks" in note for note in notes)


def test_a_sample_ratio_mismatch_withholds_until_somebody_says_why():
    uneven = {"a": two(n=400)["a"], "b": two(n=600)["b"]}

    def word(cause):
        return analyze(a_plan(), uneven, collected=Collected(acknowledged=cause)).of("spend", "b")

    assert word("").verdict.word is Word.WITHHELD
    assert word("  ").verdict.word is Word.WITHHELD  # A blank is no cause.
    assert word("a redirect lost units of a").verdict.word is Word.EFFECT


def test_a_mismatch_among_those_of_one_country_withholds_though_the_whole_is_as_planned():
    even = {"a": two(n=500)["a"], "b": two(n=500)["b"]}
    countries = {"DE": {"a": 60, "b": 160}, "FR": {"a": 440, "b": 340}}
    opened = {"yes": {"a": 60, "b": 160}}

    def read(**beside):
        return analyze(a_plan(), even, collected=Collected(**beside))

    torn = read(populations={"country": countries})
    caused = read(populations={"opened": opened})

    assert torn.srm.passed
    assert torn.is_withheld
    assert torn.mismatches == ("country DE", "country FR")
    assert torn.of("spend", "b").verdict.word is Word.WITHHELD
    assert "country DE" in srm_sentence(torn)
    assert not caused.is_withheld, "what the treatment itself can move is a finding, not a leak"


def test_a_cause_explains_the_mismatch_it_was_given_for_and_no_later_one():
    even = {"a": two(n=500)["a"], "b": two(n=500)["b"]}
    torn = {"source": {"api": {"a": 60, "b": 160}, "sdk": {"a": 440, "b": 440}}}
    known = {"acknowledged": "the api lost a's calls"}

    explained = Collected(populations=torn, acknowledged_of=frozenset({"source api"}), **known)
    another = Collected(populations=torn, acknowledged_of=frozenset({"everyone"}), **known)

    assert not analyze(a_plan(), even, collected=explained).is_withheld
    assert analyze(a_plan(), even, collected=another).is_withheld


def test_experiments_that_overlap_in_who_they_reach_are_found():
    apart = {("a", "x"): 250, ("a", "y"): 250, ("b", "x"): 250, ("b", "y"): 250}
    tied = {("a", "x"): 400, ("a", "y"): 100, ("b", "x"): 100, ("b", "y"): 400}

    assert independence_pvalue(apart) == 1.0
    table = [[400, 100], [100, 400]]
    assert independence_pvalue(tied) == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue, rel=1e-6
    )


def test_big_numbers_keep_their_digits(antiphon, tmp_path):
    rng = np.random.default_rng(9)
    instants = 1.7e12 + rng.normal(0, 1e5, 400).round()
    path = a_file(tmp_path, "v,y\n" + "".join(f"{'ab'[i % 2]},{it:.0f}\n"
                                              for i, it in enumerate(instants)))  # fmt: skip

    _, out, _ = antiphon(path, *BASIC, "--metric", "y", "--json")

    expected = stats.ttest_ind(instants[1::2] - 1.7e12, instants[::2] - 1.7e12, equal_var=False)
    assert json.loads(out)["metrics"]["y"]["b"]["pvalue"] == pytest.approx(
        expected.pvalue, rel=1e-6
    )


def test_running_it_again_gives_the_same_bytes_in_another_process(tmp_path):
    rng = np.random.default_rng(10)
    rows = "".join(
        f"{'ab'[i % 2]},{rng.normal():.6f},{'' if i % 9 == 0 else i % 13},"
        f"{'' if i % 7 == 0 else i % 17},{'' if i % 5 == 0 else i % 19}\n"
        for i in range(400)
    )
    path = a_file(tmp_path, "v,y,p,q,r\n" + rows)

    def run(seed):
        command = [
            sys.executable, "-m", "engine.cli", "analyze", str(path), *BASIC, "--metric",
            "y,covariate=p+q+r", "--json",
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run(command, capture_output=True, check=True, env=environment).stdout

    first = run("0")
    assert b"p missing" in first
    assert all(run(seed) == first for seed in ("1", "2"))


def test_what_decides_cannot_be_chosen_afterwards_by_putting_it_first():
    rng = np.random.default_rng(11)
    sums = {
        arm: of(spend=rng.normal(10, 3, 400), clicks=rng.normal(5 + (arm == "b"), 3, 400))
        for arm in "ab"
    }
    clicks = Metric(name="clicks")
    kept = frozen(a_plan(metrics=(SPEND, clicks)))

    found = analyze(a_plan(metrics=(clicks, SPEND)), sums, collected=Collected(kept_plan=kept))

    assert found.decision.metric == "spend"
    assert [(it.what, it.is_used) for it in found.plan.changes] == [("deciding", False)]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {"a": -1, "b": 1}},
        {"weights": {"a": float("nan"), "b": 1}},
        {"planned_sample": float("nan")},
        {"planned_sample": float("inf")},
        {"alpha": float("nan")},
        {"smallest_lift": float("nan")},
        {"control": "c"},
    ],
)
def test_numbers_of_a_plan_that_are_none_are_refused(changes):
    with pytest.raises(PlanError):
        replace(a_plan(), **changes)


def test_a_control_without_units_is_refused_whatever_its_weight():
    plan = a_plan(weights={"a": 0, "b": 1, "c": 1})
    sums = two()

    with pytest.raises(DataError, match="variant 'a' has 0 units"):
        analyze(plan, {"b": sums["a"], "c": sums["b"]})
