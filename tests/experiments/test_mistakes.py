"""The usual mistakes, each tried through the public entrance: one test a row of the facts' table.

When it is looked at, who is compared, what is measured; `test_mistakes_concluded` has the rest.
Each would fail without its guard. Many guards have closer tests beside their module.
"""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from engine.core.errors import UsageError
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY
from engine.readout.exposures import require_before_treatment
from engine.readout.findings import among_reachable, read_out
from engine.store import migrate
from engine.store.database import Database
from experiments.analysis.analyze import analyze
from experiments.analysis.collected import Collected
from experiments.analysis.decision import Choice
from experiments.analysis.plan import ExperimentPlan, frozen
from experiments.errors import DataError, PlanError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import moments
from experiments.estimation.triggered import diluted
from experiments.metrics import Metric
from experiments.programme.contamination import Touched, contamination
from experiments.reporting import report
from experiments.sums.aggregates import Aggregates
from experiments.sums.quantiles import CLUSTER_UNITS
from tests.engine.test_analyze_command import a_file, antiphon, refused
from tests.engine.test_readout import (
    AS_OF,
    a_metric,
    a_study,
    arms,
    keep_events,
    keep_exposures,
)
from tests.engine.test_reports import a_frozen_plan, keep_phase

__all__ = ["antiphon", "refused"]

END = datetime(2026, 4, 1, tzinfo=UTC)
SPEND = Metric(name="spend")


@pytest.fixture
def database(tmp_path):
    opened = Database(f"sqlite:///{tmp_path / 'antiphon.db'}")
    migrate.upgrade(opened)
    yield opened
    opened.close()


def a_plan(**changes):
    values = {
        "name": "x", "control": "a", "weights": {"a": 1, "b": 1}, "metrics": (SPEND,),
        "method": "fixed", **changes,
    }  # fmt: skip
    return ExperimentPlan(**values)


def of(**columns):
    return Aggregates.from_columns({name: np.asarray(it, float) for name, it in columns.items()})


def two(lift=1.0, *, n=400, seed=1):
    rng = np.random.default_rng(seed)
    return {"a": of(spend=rng.normal(10, 3, n)), "b": of(spend=rng.normal(10 + lift, 3, n))}


def read(database, study, *, as_of=AS_OF):
    with database.read() as connection:
        return read_out(connection, study, as_of=as_of)


BASIC = ("--variant", "v", "--control", "a")


# --- when it is looked at -------------------------------------------------------------------------


def test_peeking_with_a_fixed_p_shows_no_number_before_the_planned_end():
    early = Collected(as_of=END - timedelta(days=1))

    found = analyze(a_plan(ends_at=END), two(), collected=early)

    assert found.comparisons == ()
    assert found.decision.choice is Choice.WAIT
    assert "0.98" not in report.text(found)  # The difference that the sums hold.


def test_changing_weights_mid_run_is_read_by_the_weights_that_were_frozen():
    kept = frozen(a_plan(weights={"a": 9, "b": 1}))

    found = analyze(a_plan(), two(), collected=Collected(kept_plan=kept))

    assert found.is_withheld  # 400 / 400 are no 9 to 1.
    assert [it.what for it in found.plan.changes] == ["weights a"]


def test_a_control_swapped_after_the_start_stays_the_planned_one():
    found = analyze(a_plan(control="b"), two(), collected=Collected(kept_plan=frozen(a_plan())))

    assert found.control == "a"


def test_dunnetts_correction_is_refused_where_several_looks_are_taken():
    for changes in (
        {"method": "sequential"},
        {"method": "group_sequential", "looks": (0.5, 1.0)},
    ):
        with pytest.raises(PlanError, match="one look"):
            a_plan(correction="dunnett", planned_sample=800, **changes)


# --- who is compared ------------------------------------------------------------------------------


@pytest.mark.parametrize("population", ["openers", "clickers", "delivered"])
def test_openers_clickers_and_delivered_are_refused_as_populations(population):
    with pytest.raises(UsageError):
        require_before_treatment(population)


def test_without_the_record_of_who_would_have_been_sent_to_triggered_analysis_is_refused(database):
    keep_exposures(database, arms(30))
    found = read(database, a_study(a_metric()))

    with pytest.raises(UsageError, match="not known apart"):
        among_reachable(found)


@pytest.mark.parametrize(
    "metric",
    [
        Metric(name="basket", kind="ratio", numerator="spend", denominator="orders"),
        Metric(name="median", kind="quantile", q=0.5),
    ],
)
def test_an_effect_on_the_triggered_is_not_diluted_where_numbers_of_units_do_not_mix(metric):
    triggered = unadjusted(*[moments(it, SPEND, covariates=()) for it in two().values()])

    with pytest.raises(DataError, match="cannot be diluted"):
        diluted(triggered, metric=metric, untriggered=None)


def test_opens_are_exploratory_as_a_metric_and_allowing_them_late_changes_nothing(database):
    opens = a_metric(name="opens", title="Opened", match=EventMatch("Message Opened"))
    units = arms(40)
    keep_exposures(database, units)
    keep_events(
        database,
        [
            (it.profile_id, "Message Opened", it.at + DAY, {})
            for it in units
            if it.variant != "control"
        ],
    )

    keep_phase(database, a_frozen_plan(opens))

    for study in (a_study(opens), a_study(opens, allows_opens=True)):
        found = read(database, study).readout
        assert found.of("opens", "email").metric.role == "exploratory"
        assert found.decision.choice is not Choice.SHIP


def test_a_plan_of_an_older_version_that_asks_for_dunnett_at_every_look_is_read_by_holm(database):
    keep_exposures(database, arms(40))
    plan = a_frozen_plan(a_metric(), method="sequential", correction="dunnett")
    keep_phase(database, plan)

    found = read(database, a_study(a_metric())).readout

    assert found.correction == "holm"
    assert any("read by Holm's" in note for note in found.notes)


def test_units_seen_in_two_variants_are_counted_by_variant_and_never_dropped_in_silence(
    antiphon, tmp_path
):
    rows = "".join(f"u{i},{'ab'[i % 2]},{i % 7}\n" for i in range(200))
    path = a_file(tmp_path, "u,v,y\n" + rows + "u0,b,1\nu2,b,3\n")

    code, out, _ = antiphon(path, *BASIC, "--unit", "u", "--metric", "y", "--json")

    (left_out,) = json.loads(out)["quality"]["excluded"]
    assert code == 0
    assert (left_out["n"], left_out["by_variant"]) == (2, {"a": 2, "b": 2})


def test_a_control_touched_by_other_campaigns_is_reported():
    touched = {"control": Touched(1_000, 400), "email": Touched(1_000, 100)}

    found = contamination(touched, control="control", treatment="email")
    silent = contamination(touched, control="control", treatment="email", must_be_silent=True)

    assert not found.is_even
    assert silent.leaked > 0


def test_events_as_units_are_refused_and_clusters_set_the_variance(refused, tmp_path):
    path = a_file(tmp_path, "u,v,y\n" + "".join(f"u{i // 2},{'ab'[i // 2 % 2]},{i}\n"
                                                for i in range(80)))  # fmt: skip

    assert "a unit has one row" in refused(path, *BASIC, "--unit", "u", "--metric", "y")

    rng = np.random.default_rng(4)
    units, clusters = {}, {}
    for name in "ab":
        level = np.repeat(rng.normal(50, 10, 30), 20)
        spend = level + rng.normal(0, 1, 600)
        units[name] = of(spend=spend)
        clusters[name] = of(
            **{"spend": spend.reshape(30, 20).sum(axis=1), CLUSTER_UNITS: [20.0] * 30}
        )
    naive = analyze(a_plan(), units).of("spend", "b")
    days = dict.fromkeys(("2026-03-01", "2026-03-02"), units)
    honest = analyze(
        a_plan(), units,
        collected=Collected(clusters=clusters, days=days, dimensions={"d": days}),
    )  # fmt: skip
    assert honest.of("spend", "b").effect.std_error > 4 * naive.effect.std_error
    assert honest.segments == honest.over_time == ()
    assert any("Clusters were randomized" in note for note in honest.notes)


# --- what is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fixed", "bayesian", "sequential", "group_sequential"])
def test_one_p_decides_absolute_and_relative_alike(method):
    rng = np.random.default_rng(8)
    extra = {"planned_sample": 120, "looks": (0.5, 1.0) if method == "group_sequential" else ()}
    for _ in range(60):
        arms_ = {"a": of(spend=rng.gamma(2, 5, 60)), "b": of(spend=rng.gamma(2, 6.5, 60))}
        found = analyze(a_plan(method=method, **extra), arms_).of("spend", "b").effect
        excluded = [
            it.ci_lower > 0 or it.ci_upper < 0
            for it in (found.lift_abs, found.lift_rel)
            if it.is_bounded
        ]
        assert set(excluded) == {found.pvalue <= 0.05}


@pytest.mark.parametrize("method", ["fixed", "sequential"])
def test_a_familys_interval_of_few_conversions_is_wider_and_possible(method):
    metric = Metric(name="spend", kind="proportion")
    plan = a_plan(
        method=method, metrics=(metric,), weights=dict.fromkeys("abc", 1), planned_sample=600
    )
    ones = {"a": 20, "b": 3, "c": 2}
    sums = {name: of(spend=[1] * k + [0] * (200 - k)) for name, k in ones.items()}

    found = analyze(plan, sums, collected=Collected(is_at_end=True))

    for it in found.comparisons:
        assert -1 <= it.lift_family.ci_lower < it.effect.lift_rel.ci_lower
        assert it.lift_family.ci_upper > it.effect.lift_rel.ci_upper


def test_a_cap_is_of_the_non_zero_values_of_all_variants_with_both_numbers_shown(
    antiphon, tmp_path
):
    rng = np.random.default_rng(2)
    spend = np.where(rng.random(4_000) < 0.005, rng.gamma(2, 50, 4_000), 0).round(2)
    path = a_file(
        tmp_path, "v,y\n" + "".join(f"{'ab'[i % 2]},{it}\n" for i, it in enumerate(spend))
    )

    _, out, _ = antiphon(path, *BASIC, "--metric", "y,cap=p99", "--json")

    found = json.loads(out)
    (cap,) = found["quality"]["caps"]
    effect = found["metrics"]["y"]["b"]
    assert cap["limit"] == pytest.approx(np.quantile(spend[spend > 0], 0.99), rel=1e-9)
    difference = spend[1::2].mean() - spend[::2].mean()
    assert effect["uncapped"]["lift_abs"]["estimate"] == pytest.approx(difference, rel=1e-9)
    assert effect["lift_abs"]["estimate"] != pytest.approx(difference, rel=1e-9)


def test_the_number_without_its_cap_keeps_the_clusters():
    rng = np.random.default_rng(6)
    capped = Metric(name="spend", cap_share=0.9)
    units, clusters = {}, {}
    for name in "ab":
        spend = np.repeat(rng.gamma(2, 30, 40), 10) + rng.normal(0, 1, 400)
        both = {"spend": spend, capped.value_columns[0]: np.minimum(spend, 120)}
        units[name] = of(**both)
        sums = {column: it.reshape(40, 10).sum(axis=1) for column, it in both.items()}
        clusters[name] = of(**sums, **{CLUSTER_UNITS: [10.0] * 40})

    found = analyze(a_plan(metrics=(capped,)), units, collected=Collected(clusters=clusters))

    by_units = analyze(a_plan(), units).of("spend", "b").effect.std_error
    assert found.of("spend", "b").uncapped.std_error > 2 * by_units


def test_a_covariate_measured_after_exposure_is_refused(refused, tmp_path):
    rows = "".join(f"{'ab'[i % 2]},{i},{i},2026-01-0{1 + i % 3},2026-01-02\n" for i in range(40))
    path = a_file(tmp_path, "v,y,x,x_at,exposed\n" + rows)

    said = refused(
        path, *BASIC, "--metric", "y,covariate=x", "--exposed-at", "exposed",
        "--measured-at", "x=x_at",
    )  # fmt: skip

    assert "measured after exposure" in said
