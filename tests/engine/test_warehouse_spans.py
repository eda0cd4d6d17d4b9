"""Totals, periods, ages and crossed cells of a metric from SQL: those the same events give."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from campaigns.metrics import MetricDefinition
from engine.core.errors import UsageError
from engine.core.model.instants import DAY
from engine.readout.ages import age_sums
from engine.readout.findings import read_out
from engine.readout.metric_sums import Unit
from engine.readout.overlaps import interaction_findings
from engine.readout.programme import ProgrammeFindings, programme_findings
from engine.readout.programme_words import (
    interactions_json,
    interactions_text,
    programme_json,
    programme_text,
)
from engine.readout.studies import Study
from engine.store.database import Database
from tests.engine.test_programme import (
    NOW,
    SPEND,
    a_holdout,
    a_program,
    crossed,
    people,
    purchases,
)
from tests.engine.test_readout import START, a_metric, a_study, keep_events, keep_exposures
from tests.engine.test_warehouse_metrics import (
    Happened,
    from_sql,
    keep_identities,
    keep_orders,
    warehouse,
)

__all__ = ["warehouse"]

MEASURES = (
    SPEND,
    replace(SPEND, covariate=20 * DAY),
    a_metric(name="orders", title="Orders"),
    a_metric(name="bought", title="Bought", measure="happened"),
)


def at_home_and_there(
    database: Database, warehouse, events: list[Happened], *, n: int
) -> Callable[[Study], Study]:
    """The same orders as events and in the warehouse; gives what makes a study know where."""
    keep_events(database, events)
    keep_identities(database, n)
    rows = [(f"u{profile}", float(it["revenue"]), at) for profile, _, at, it in events]
    url = keep_orders(warehouse, rows)
    return lambda study: replace(study, addresses={"shop": url})


def whole(database: Database, studies: list[Study], metric: MetricDefinition) -> ProgrammeFindings:
    with database.read() as connection:
        return programme_findings(connection, studies, a_program("cart"), metric, as_of=NOW)


@pytest.mark.parametrize("metric", MEASURES, ids=lambda it: f"{it.name} {it.covariate or ''}")
def test_the_programmes_totals_are_those_of_the_same_events(
    database: Database, warehouse, metric: MetricDefinition
) -> None:
    units = people(100)
    events = purchases(units)
    keep_exposures(database, units, name="holdout:global")
    keep_exposures(database, people(60), name="holdout:cart")
    there = at_home_and_there(database, warehouse, events, n=100)
    studies = [there(a_holdout()), there(a_holdout("campaign holdout", "holdout:cart", "cart"))]

    ours, theirs = (whole(database, studies, it) for it in (metric, from_sql(metric)))

    assert theirs.measured is not None
    found, expected = programme_json(theirs), programme_json(ours)
    assert found.keys() == expected.keys()
    assert len(found["by_period"]) >= 3
    assert len(found["by_tenure"]) >= 2
    assert found["sum_of_parts"] is not None
    assert_close(found, expected)
    if metric == MEASURES[0]:
        assert programme_text(theirs) == programme_text(ours)


def assert_close(found, expected) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    else:
        assert found == expected


@pytest.mark.parametrize("metric", [SPEND, *MEASURES[2:]], ids=lambda it: it.name)
def test_ages_and_how_they_go_together_are_those_of_the_same_events(
    database: Database, warehouse, metric: MetricDefinition
) -> None:
    units = [Unit(i, "email" if i % 2 else "control", START + (i % 9) * DAY) for i in range(1, 61)]
    events = purchases(units, seed=6)
    # Exactly on the edge between two ages, which belongs to the earlier one.
    events += [(i, "Order Completed", units[i - 1].at + 7 * DAY, {"revenue": 5.0})
               for i in range(1, 11)]  # fmt: skip
    study = at_home_and_there(database, warehouse, events, n=60)(a_study(metric))

    with database.read() as connection:
        ours, theirs = (
            age_sums(connection, study, units, it, as_of=NOW, ages=4, length=7 * DAY)
            for it in (metric, from_sql(metric))
        )

    assert ours[1] == theirs[1]
    for variant in ("control", "email"):
        found, expected = theirs[0][variant], ours[0][variant]
        assert (found.n, found.columns) == (expected.n, expected.columns)
        assert found.means == pytest.approx(expected.means, rel=1e-9)
        for row, oracle in zip(found.moments, expected.moments, strict=True):
            assert row == pytest.approx(oracle, rel=1e-9, abs=1e-6)


def test_a_report_shows_the_effect_by_age_of_a_metric_from_sql(
    database: Database, warehouse
) -> None:
    units = [Unit(i, "email" if i % 2 else "control", START + i % 5) for i in range(1, 201)]
    events = purchases(units, lift=40.0)
    metric = from_sql(replace(SPEND, within=28 * DAY))
    keep_exposures(database, units)
    study = at_home_and_there(database, warehouse, events, n=200)(a_study(metric))
    gone = replace(study, addresses={"shop": "sqlite:////nowhere/at/all.db"})

    with database.read() as connection:
        found = read_out(connection, study, as_of=NOW).readout
        without = read_out(connection, gone, as_of=NOW).readout

    (wear,) = found.wear
    assert (wear.novelty.n_control, wear.novelty.n_treatment) == (100, 100)
    assert len(wear.novelty.effects) == 4
    assert without is None  # Nothing else to read: the report says that the metric is missing.


@pytest.mark.parametrize("together", [0.0, 15.0])
def test_crossed_cells_are_those_of_the_same_events(
    database: Database, warehouse, together: float
) -> None:
    first, second, events = crossed(200, together=together)
    keep_exposures(database, first, name="nudge")
    keep_exposures(database, second, name="banner")
    there = at_home_and_there(database, warehouse, events, n=200)

    def scanned(metric: MetricDefinition):
        studies = [
            there(a_study(metric, name="nudge", campaign="cart")),
            there(a_study(metric, name="banner", campaign="welcome")),
        ]
        with database.read() as connection:
            return interaction_findings(connection, studies, as_of=NOW)

    ours, theirs = scanned(SPEND), scanned(from_sql(SPEND))

    assert theirs[0].n == 200
    assert theirs[0].interacts is (together > 0)
    assert_close(interactions_json(theirs), interactions_json(ours))


def test_a_warehouse_that_is_down_hides_its_own_pair_only_and_says_why(
    database: Database, warehouse
) -> None:
    first, second, events = crossed(200, together=0.0)
    keep_exposures(database, first, name="nudge")
    keep_exposures(database, second, name="banner")
    keep_events(database, events)
    away = {"shop": "sqlite:////nowhere/at/all.db"}
    studies = [
        a_study(from_sql(a_metric(name="theirs")), name="nudge", campaign="a", addresses=away),
        a_study(SPEND, name="banner", campaign="b", addresses=away),
    ]

    with database.read() as connection:
        found = interaction_findings(connection, studies, as_of=NOW)

    by_metric = {it.metric: it for it in found}
    assert by_metric["theirs"].pvalue is None
    assert "connections.shop" in by_metric["theirs"].why_not
    assert by_metric["spend"].pvalue is not None
    assert "theirs, 0 units: not read" in interactions_text(found, alpha=0.05)
    assert json.dumps(interactions_json(found), allow_nan=False)


@pytest.mark.parametrize(
    ("sql", "changes", "says"),
    [
        ("SELECT person AS unit, amount AS value FROM orders", {}, "no column at"),
        ("SELECT 'x' || person AS unit, amount AS value, happened AS at FROM orders", {},
         "none of its rows"),
        ("SELECT person AS unit, amount AS value, happened AS at FROM gone", {}, "orders.sql"),
        (None, {"measure": "mean_per_event"}, "does not add up"),
    ],
)  # fmt: skip
def test_what_a_total_cannot_be_made_of_is_refused(
    database: Database, warehouse, sql: str | None, changes: dict[str, str], says: str
) -> None:
    units = people(40)
    keep_exposures(database, units, name="holdout:global")
    study = at_home_and_there(database, warehouse, purchases(units), n=40)(a_holdout())
    metric = from_sql(replace(SPEND, **changes), **({} if sql is None else {"sql": sql}))

    with pytest.raises(UsageError, match=says):
        whole(database, [study], metric)
