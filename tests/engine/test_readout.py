"""What a readout sums is what a person would count by hand, on both databases."""

import json
import random
from collections.abc import Iterable
from itertools import count

import pytest

from campaigns.metrics import MetricDefinition
from engine.core.model.conditions import Comparison, EventMatch, Filter
from engine.core.model.instants import DAY
from engine.readout.findings import read_out
from engine.readout.metric_sums import Unit, covariate_name, outcomes, sum_metrics
from engine.readout.studies import Study
from engine.store import bulk
from engine.store.database import Database
from engine.store.events import OWN, EventLog, message_hash
from experiments.metrics import nonzero_cap
from experiments.sums.aggregates import Aggregates

START = 1_700_000_000_000_000
AS_OF = START + 200 * DAY
_numbers = count(1)


def a_metric(**changes: object) -> MetricDefinition:
    values: dict[str, object] = {
        "name": "orders",
        "title": "Orders",
        "match": EventMatch("Order Completed"),
        "measure": "count",
        "value": None,
        "minus": None,
        "within": 14 * DAY,
        "winsorize": None,
        "covariate": None,
        "better": "higher",
        "currency": None,
        **changes,
    }
    return MetricDefinition(**values)  # type: ignore[arg-type]


def a_study(*metrics: MetricDefinition, name: str = "nudge", **changes: object) -> Study:
    values: dict[str, object] = {
        "name": name,
        "title": name,
        "kind": "A/B test",
        "phase": 1,
        "control": "control",
        "weights": {"control": 1, "email": 1},
        "metrics": tuple((metric, "primary") for metric in metrics),
        "method": "fixed",
        **changes,
    }
    return Study(**values)  # type: ignore[arg-type]


Happened = tuple[int, str, int, dict[str, object]]
"""(profile, name, at, properties)."""


def keep_events(database: Database, events: Iterable[Happened]) -> None:
    rows = [
        (
            message_hash("test", str(next(_numbers))), profile, name, at, at, OWN,
            json.dumps(properties), "{}", None,
        )
        for profile, name, at, properties in events
    ]  # fmt: skip
    with database.write() as connection:
        EventLog().append(connection, rows, now=AS_OF)


def keep_exposures(
    database: Database,
    units: Iterable[Unit],
    *,
    name: str = "nudge",
    phase: int = 1,
    would_allow: str = "{}",
) -> None:
    rows = [
        (name, phase, it.profile_id, it.variant, it.at, 0.5, "win-back", 1, would_allow)
        for it in units
    ]
    columns = (
        "experiment", "phase", "profile_id", "variant", "at", "probability", "campaign",
        "enrollment_id", "would_allow",
    )  # fmt: skip
    with database.write() as connection:
        bulk.insert(connection, "exposure", columns, rows)


# --- the law: SQL sums are a brute-force count ---------------------------------------------------

SPEND = a_metric(
    name="spend",
    measure="sum",
    value=("properties", "revenue"),
    minus=(EventMatch("Order Refunded"), ("properties", "amount")),
    covariate=30 * DAY,
    winsorize=0.9,
)
ORDERS = a_metric(covariate=60 * DAY)
FRESH = a_metric(
    name="fresh",
    measure="happened",
    match=EventMatch(
        "Order Completed",
        (Filter(("properties", "department"), (Comparison("in", ("PRODUCE", "MEAT")),)),),
    ),
    within=7 * DAY,
)
EVER = a_metric(name="ever", within=None)


def a_world(rng: random.Random, *, first: int) -> tuple[list[Unit], list[Happened]]:
    units = [
        Unit(first + i, rng.choice(["control", "email"]), START + rng.randrange(90 * DAY))
        for i in range(rng.randrange(8, 40))
    ]
    events: list[Happened] = []
    for unit in units:
        for _ in range(rng.randrange(12)):
            # Some events fall exactly on an edge: exposure, its window's end, the covariate's.
            edge = rng.choice([0, 14 * DAY, 7 * DAY, -30 * DAY, -60 * DAY])
            at = unit.at + (edge if rng.random() < 0.3 else rng.randrange(-70 * DAY, 120 * DAY))
            kind = rng.random()
            if kind < 0.75:
                revenue: object = rng.choice([rng.uniform(0, 99), 12, 0, "free", None, True])
                department = rng.choice(["PRODUCE", "MEAT", "GROCERY", 7])
                properties = {"revenue": revenue, "department": department}
                events.append((unit.profile_id, "Order Completed", at, properties))
            elif kind < 0.9:
                amount = {"amount": rng.uniform(0, 30)}
                events.append((unit.profile_id, "Order Refunded", at, amount))
            else:
                events.append((unit.profile_id, "Product Added", at, {"revenue": 5}))
    return units, events


def by_hand(unit: Unit, metric: MetricDefinition, events: list[Happened]) -> tuple[float, float]:
    """(outcome, covariate) of one unit, counted one event at a time."""

    def amount(name: str, properties: dict[str, object]) -> float:
        if name == "Order Refunded":
            return -float(properties["amount"]) if metric.minus else 0.0  # type: ignore[arg-type]
        if name != "Order Completed":
            return 0.0
        if metric.name == "fresh" and properties["department"] not in ("PRODUCE", "MEAT"):
            return 0.0
        if metric.measure != "sum":
            return 1.0
        value = properties["revenue"]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number else 0.0  # type: ignore[arg-type]

    end = AS_OF if metric.within is None else unit.at + metric.within
    after = before = 0.0
    for profile, name, at, properties in events:
        if profile != unit.profile_id:
            continue
        if unit.at < at <= min(end, AS_OF):
            after += amount(name, properties)
        if metric.covariate and unit.at - metric.covariate < at <= unit.at:
            before += amount(name, properties)
    return (float(after > 0) if metric.measure == "happened" else after), before


def test_sums_over_random_worlds_are_what_a_count_by_hand_gives(database: Database) -> None:
    rng = random.Random(20)
    for world in range(12):
        units, events = a_world(rng, first=1_000 * (world + 1))
        metrics = [SPEND, ORDERS, FRESH, EVER]
        keep_events(database, events)

        with database.read() as connection:
            found = sum_metrics(
                connection, units, [(it, "primary") for it in metrics], as_of=AS_OF
            ).sums.aggregates

        spends = [by_hand(unit, SPEND, events)[0] for unit in units]
        cap = nonzero_cap(spends, share=0.9)
        for variant in {unit.variant for unit in units}:
            mine = [unit for unit in units if unit.variant == variant]
            columns: dict[str, list[float]] = {}
            for metric in metrics:
                pairs = [by_hand(unit, metric, events) for unit in mine]
                values = [pair[0] for pair in pairs]
                if metric is SPEND:
                    capped = values if cap is None else [min(value, cap) for value in values]
                    columns["spend capped at p90"] = capped
                else:
                    columns[metric.name] = values
                if metric.covariate is not None:
                    columns[covariate_name(metric)] = [pair[1] for pair in pairs]
            expected = Aggregates.from_columns(columns)
            assert found[variant].n == expected.n
            for one in columns:
                assert found[variant].mean(one) == pytest.approx(expected.mean(one), abs=1e-9)
                for other in columns:
                    if not found[variant].has_pair(one, other):
                        continue  # No metric needs it.
                    assert found[variant].covariance(one, other) == pytest.approx(
                        expected.covariance(one, other), rel=1e-9, abs=1e-8
                    )


def test_outcomes_come_in_the_order_of_the_units(database: Database) -> None:
    units = [Unit(3, "past", START), Unit(1, "past", START), Unit(2, "past", START)]
    keep_events(
        database, [(1, "Order Completed", START + DAY, {}), (3, "Order Completed", START - DAY, {})]
    )

    with database.read() as connection:
        found = outcomes(connection, units, ORDERS, as_of=AS_OF)

    assert found == [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)]


# --- who counts ---------------------------------------------------------------------------------


def arms(n: int, *, first: int = 1, at: int = START) -> list[Unit]:
    return [Unit(first + i, "control" if i % 2 else "email", at) for i in range(n)]


def test_the_event_that_caused_an_exposure_is_no_outcome_of_it(database: Database) -> None:
    keep_exposures(database, arms(8))
    keep_events(database, [(i, "Order Completed", START, {}) for i in range(1, 9)])
    keep_events(database, [(1, "Order Completed", START + 1, {})])

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.readout is not None
    compared = found.readout.of("orders", "email")
    assert (compared.control, compared.treatment) == (0.0, 0.25)


def test_a_unit_counts_only_once_its_window_has_closed(database: Database) -> None:
    keep_exposures(database, arms(8))
    keep_exposures(database, arms(4, first=100, at=START + DAY))

    with database.read() as connection:
        early = read_out(connection, a_study(a_metric()), as_of=START + 14 * DAY)
        late = read_out(connection, a_study(a_metric()), as_of=START + 15 * DAY)

    assert (early.n, early.n_immature) == ({"control": 4, "email": 4}, 4)
    assert early.readout is not None
    assert any("4 units are left out" in note for note in early.readout.notes)
    assert (late.n, late.n_immature) == ({"control": 6, "email": 6}, 0)


def test_people_with_two_variants_are_set_aside_and_counted(database: Database) -> None:
    keep_exposures(database, arms(8))
    conflict = {"experiment": "nudge", "kept": "email", "dropped": "control"}
    other = {"experiment": "another", "kept": "email", "dropped": "control"}
    keep_events(
        database,
        [
            (1, "Assignment Conflict", START + DAY, conflict),
            (2, "Assignment Conflict", START + DAY, other),
        ],
    )

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.n_conflicts == 1
    assert found.n == {"control": 4, "email": 3}


def test_a_phase_is_read_alone(database: Database) -> None:
    keep_exposures(database, arms(8), phase=1)
    keep_exposures(database, arms(6, first=50), phase=2)

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric(), phase=2), as_of=AS_OF)

    assert found.n == {"control": 3, "email": 3}


def test_without_units_there_is_a_reason_instead_of_a_readout(database: Database) -> None:
    keep_exposures(database, [Unit(1, "control", START), Unit(2, "control", START)])

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.readout is None
    assert found.why_not == 'too few units yet in "email": 0'


def test_lost_exposures_withhold_every_verdict(database: Database) -> None:
    many = [Unit(i, "control", START) for i in range(1, 301)]
    few = [Unit(i, "email", START) for i in range(1001, 1101)]
    keep_exposures(database, [*many, *few])
    keep_events(database, [(i, "Order Completed", START + DAY, {}) for i in range(1001, 1101)])

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.readout is not None
    assert found.readout.is_withheld


def test_the_triggered_comparison_asks_the_same_of_both_arms(database: Database) -> None:
    reached = json.dumps({"email": "allow"})
    not_reached = json.dumps({"email": "no consent for offers by email"})
    keep_exposures(database, arms(20), would_allow=reached)
    keep_exposures(database, arms(10, first=500), would_allow=not_reached)
    # Of those who could be reached every second treated person orders, of the others nobody.
    keep_events(database, [(i, "Order Completed", START + DAY, {}) for i in range(1, 20, 4)])

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.readout is not None
    assert found.readout.n == {"control": 15, "email": 15}
    (triggered,) = found.triggered
    assert triggered.n == {"control": 10, "email": 10}
    assert found.readout.of("orders", "email").treatment == pytest.approx(5 / 15)
    assert triggered.of("orders", "email").treatment == pytest.approx(5 / 10)
    diluted = triggered.of("orders", "email").diluted
    assert diluted is not None
    assert diluted.why_not == "so few are compared by themselves alone"


def test_the_triggered_effect_is_carried_over_to_everybody(database: Database) -> None:
    keep_exposures(database, arms(400), would_allow=json.dumps({"email": "allow"}))
    keep_exposures(database, arms(100, first=500), would_allow=json.dumps({"email": "no consent"}))
    # Half of the control orders and three in four of those treated; of the others nobody.
    ordering = [i for i in range(400) if i % 4 in (0, 1) or i % 8 == 3]
    keep_events(database, [(i, "Order Completed", START + DAY, {}) for i in ordering])

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.readout is not None
    (triggered,) = found.triggered
    diluted = triggered.of("orders", "email").diluted
    assert diluted is not None
    assert diluted.effect is not None
    assert diluted.share == pytest.approx(400 / 500)
    whole = found.readout.of("orders", "email")
    assert diluted.effect.lift_abs.estimate == pytest.approx(whole.treatment - whole.control)


def test_a_wait_before_the_first_send_leaves_only_intention_to_treat(database: Database) -> None:
    keep_exposures(database, arms(20), would_allow=json.dumps({"email": None}))

    with database.read() as connection:
        found = read_out(connection, a_study(a_metric()), as_of=AS_OF)

    assert found.readout is not None
    assert found.triggered == ()


def test_a_phase_that_opened_after_its_end_is_told_so_instead_of_to_wait(
    database: Database,
) -> None:
    study = a_study(a_metric(), analysis={"ends_at": "2020-01-01T00:00:00Z"})
    with database.write() as connection:
        connection.execute(
            "INSERT INTO experiment_phase (experiment, phase, seed, digest, definition, started_at)"
            " VALUES ('nudge', 1, '', '', '', ?)",
            (START,),
        )

    with database.read() as connection:
        found = read_out(connection, study, as_of=AS_OF)

    assert "it ends before it begins: its plan ends on 2020-01-01" in found.why_not
