"""Each measure of the language is, unit by unit, what a person would read off the events."""

import random

import numpy as np
import pytest

from campaigns.metrics import MetricDefinition, compile_metrics
from engine.core.errors import UsageError
from engine.core.model.conditions import Comparison, EventMatch, Filter
from engine.core.model.instants import DAY
from engine.readout.metric_sums import Keys, Unit, outcomes, sum_metrics
from engine.store.database import Database
from experiments.sums.aggregates import Aggregates
from tests.campaigns.build import a_workspace, problems_of
from tests.engine.test_readout import AS_OF, START, Happened, a_metric, keep_events

REVENUE = ("properties", "revenue")
ORDER = EventMatch("Order Completed")
WEB = EventMatch("Order Completed", (Filter(("properties", "via"), (Comparison("is", "web"),)),))
WITHIN = 14 * DAY


def a_world(rng: random.Random) -> tuple[list[Unit], list[Happened]]:
    units = [
        Unit(i + 1, rng.choice(["control", "email"]), START + rng.randrange(90 * DAY))
        for i in range(60)
    ]
    events: list[Happened] = []
    for unit in units:
        for _ in range(rng.randrange(22)):
            edge = rng.choice([0, 3 * DAY, 14 * DAY, -30 * DAY])
            at = unit.at + (edge if rng.random() < 0.3 else rng.randrange(-40 * DAY, 20 * DAY))
            name = rng.choice(["Product Viewed", "Product Added", "Order Completed"])
            properties = {
                "revenue": rng.choice([rng.uniform(1, 99), 12, "free", None]),
                "via": rng.choice(["web", "shop"]),
                "sku": rng.choice(["a", "b", 1, 1.0, True, None]),
            }
            events.append((unit.profile_id, name, at, properties))
    return units, events


def seen(unit: Unit, events: list[Happened], *, since: int, until: int) -> list[Happened]:
    """The unit's events in (since, until] after its exposure, in the log's order at one instant."""
    mine = [it for it in events if it[0] == unit.profile_id]
    return sorted(
        (it for it in mine if unit.at + since < it[2] <= min(unit.at + until, AS_OF)),
        key=lambda it: it[2],
    )


def number(event: Happened) -> float | None:
    value = event[3]["revenue"]
    return float(value) if isinstance(value, int | float) else None


def orders(found: list[Happened]) -> list[Happened]:
    return [it for it in found if it[1] == "Order Completed"]


def last(found: list[Happened]) -> float:
    values = [number(it) for it in orders(found) if number(it) is not None]
    return values[-1] or 0.0 if values else 0.0


def distinct(found: list[Happened]) -> float:
    words = {repr(float(v)) if type(v) in (int, float) else repr(v)
             for it in orders(found) if (v := it[3]["sku"]) is not None}  # fmt: skip
    return float(len(words))


def went_through(found: list[Happened]) -> float:
    wished = ["Product Viewed", "Product Added", "Order Completed"]
    for event in found:
        if wished and event[1] == wished[0] and (len(wished) > 1 or event[3]["via"] == "web"):
            wished.pop(0)
    return float(not wished)


BY_HAND = {
    "last": (a_metric(name="last", measure="last", value=REVENUE), last),
    "distinct": (
        a_metric(name="distinct", measure="distinct", value=("properties", "sku")), distinct,
    ),
    "retained": (
        a_metric(name="retained", measure="retained", after=3 * DAY),
        lambda found: float(bool(orders(found))),
    ),
    "funnel": (
        a_metric(
            name="funnel", measure="funnel",
            steps=(EventMatch("Product Viewed"), EventMatch("Product Added"), WEB),
        ),
        went_through,
    ),
}  # fmt: skip


@pytest.mark.parametrize("measure", list(BY_HAND))
def test_a_measure_is_what_one_reads_off_the_events(database: Database, measure: str) -> None:
    definition, by_hand = BY_HAND[measure]
    units, events = a_world(random.Random(5))
    keep_events(database, events)

    with database.read() as connection:
        found = outcomes(connection, units, definition, as_of=AS_OF)
        sums = sum_metrics(connection, units, [(definition, "primary")], as_of=AS_OF)

    since = 3 * DAY if measure == "retained" else 0
    expected = [by_hand(seen(unit, events, since=since, until=WITHIN)) for unit in units]
    assert [value for value, _ in found] == pytest.approx(expected)
    assert len(set(expected)) > 1
    assert sums.metrics[0].kind == {"last": "mean", "distinct": "count"}.get(measure, "proportion")
    for variant in ("control", "email"):
        mine = [v for v, unit in zip(expected, units, strict=True) if unit.variant == variant]
        part = Aggregates.from_columns({measure: mine})
        assert sums.sums.aggregates[variant].n == part.n
        assert sums.sums.aggregates[variant].variance(measure) == pytest.approx(
            part.variance(measure)
        )


def test_a_mean_per_event_is_a_ratio_of_sums_over_units(database: Database) -> None:
    definition = a_metric(
        name="basket", measure="mean_per_event", value=REVENUE, covariate=30 * DAY
    )
    units, events = a_world(random.Random(6))
    keep_events(database, events)

    with database.read() as connection:
        found = sum_metrics(connection, units, [(definition, "primary")], as_of=AS_OF)

    (metric,) = found.metrics
    assert (metric.kind, metric.unit) == ("ratio", None)
    assert len(metric.covariates) == 2
    mine = [unit for unit in units if unit.variant == "email"]
    values = [
        [number(it) for it in orders(seen(unit, events, since=0, until=WITHIN))] for unit in mine
    ]
    readable = [[v for v in its if v is not None] for its in values]
    part = found.sums.aggregates["email"]
    assert part.mean("basket: total") == pytest.approx(np.mean([sum(its) for its in readable]))
    assert part.mean("basket: events") == pytest.approx(np.mean([len(its) for its in readable]))
    assert found.n_unreadable > 0


def test_a_ratio_divides_two_metrics_each_over_its_own_time(database: Database) -> None:
    total = a_metric(name="revenue", measure="sum", value=REVENUE, within=14 * DAY)
    number_of = a_metric(name="orders", within=7 * DAY)
    definition = a_metric(name="each", measure="ratio", parts=(total, number_of))
    units, events = a_world(random.Random(7))
    keep_events(database, events)

    with database.read() as connection:
        found = sum_metrics(connection, units, [(definition, "primary")], as_of=AS_OF)
        with pytest.raises(UsageError, match="one unit has none"):
            outcomes(connection, units, definition, as_of=AS_OF)

    mine = [unit for unit in units if unit.variant == "control"]
    expected = Aggregates.from_columns({
        "each: revenue": [
            sum(number(it) or 0 for it in orders(seen(u, events, since=0, until=14 * DAY)))
            for u in mine
        ],
        "each: orders": [
            float(len(orders(seen(u, events, since=0, until=7 * DAY)))) for u in mine
        ],
    })  # fmt: skip
    part = found.sums.aggregates["control"]
    assert part.covariance("each: revenue", "each: orders") == pytest.approx(
        expected.covariance("each: revenue", "each: orders")
    )


def test_a_quantile_is_over_units_and_has_its_order_statistics(database: Database) -> None:
    definition = a_metric(name="median", measure="quantile", quantile=0.5, value=REVENUE)
    units, events = a_world(random.Random(8))
    keep_events(database, events)

    with database.read() as connection:
        found = sum_metrics(connection, units, [(definition, "primary")], as_of=AS_OF)

    for variant, sums in found.sums.quantiles["median"].items():
        totals = [
            sum(number(it) or 0 for it in orders(seen(unit, events, since=0, until=WITHIN)))
            for unit in units
            if unit.variant == variant
        ]
        assert sums.value == pytest.approx(np.quantile(totals, 0.5))
        assert found.sums.aggregates[variant].n == len(totals)


def test_units_may_be_grouped_by_what_was_known_before(database: Database) -> None:
    units, events = a_world(random.Random(9))
    countries = [["DE", "FR", None][i % 3] for i in range(len(units))]
    keep_events(database, events)
    definition = a_metric(name="orders")

    with database.read() as connection:
        found = sum_metrics(
            connection, units, [(definition, "primary")], as_of=AS_OF,
            keys=Keys(dimensions={"country": countries}, stratum=countries),
        )  # fmt: skip

    by_country = found.sums.dimensions["country"]
    assert set(by_country) == {"DE", "FR", "(none)"}
    for variant in ("control", "email"):
        n = sum(unit.variant == variant for unit in units)
        assert sum(level[variant].n for level in by_country.values()) == n
        assert sum(part.n for part in found.sums.strata[variant].values()) == n
        assert found.sums.aggregates[variant].n == n


def test_events_with_money_below_zero_are_counted_and_said(database: Database) -> None:
    units = [Unit(i, "control" if i % 2 else "email", START) for i in range(1, 9)]
    keep_events(database, [(1, "Order Completed", START + DAY, {"revenue": -5})])
    revenue = a_metric(name="revenue", measure="sum", value=REVENUE)

    with database.read() as connection:
        found = sum_metrics(connection, units, [(revenue, "primary")], as_of=AS_OF)

    assert found.n_negative == 1
    assert any("1 events of revenue have a value below 0" in note for note in found.sums.notes)


# --- the language -------------------------------------------------------------------------------

PARTS = {
    "metrics/revenue.yaml": "metric: revenue-7d\nevent: Order Completed\nmeasure: sum\n"
    "value: properties.revenue\nwithin: 7d\n",
    "metrics/orders.yaml": "metric: orders-3d\nevent: Order Completed\nmeasure: count\n"
    "within: 3d\n",
}


def compiled(text: str) -> MetricDefinition:
    return compile_metrics(a_workspace({**PARTS, "metrics/it.yaml": text}))["it"]


def test_a_ratio_of_two_metrics_waits_for_the_longer_of_them() -> None:
    metric = compiled("metric: it\nmeasure: ratio\nratio: {of: revenue-7d, to: orders-3d}\n")

    assert metric.parts is not None
    assert [part.name for part in metric.parts] == ["revenue-7d", "orders-3d"]
    assert metric.within == 7 * DAY


def test_a_funnel_and_a_retention_say_their_steps_and_days() -> None:
    funnel = compiled(
        "metric: it\nmeasure: funnel\nwithin: 7d\n"
        "steps: [{event: Order Completed, where: {properties.zip: x}}, {event: Order Completed}]\n"
    )
    retained = compiled(
        "metric: it\nevent: Order Completed\nmeasure: retained\nafter: 7d\nwithin: 14d\n"
    )

    assert [step.event for step in funnel.steps] == ["Order Completed"] * 2
    assert (retained.after, retained.within) == (7 * DAY, 14 * DAY)
    assert funnel.is_yes_or_no
    assert retained.is_yes_or_no


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("measure: ratio\nratio: {of: revenue-7d, to: order-3d}", 'Did you mean "orders-3d"?'),
        ("measure: ratio\nratio: {of: revenue-7d, to: it}", "is measured as ratio"),
        ("measure: ratio\nwithin: 7d\nratio: {of: revenue-7d, to: orders-3d}", "Delete within"),
        ("measure: funnel\nwithin: 7d\nsteps: [{event: Order Completed}]", "at least two steps"),
        (
            "measure: funnel\nwithin: 7d\n"
            "steps: [{event: Order Completd}, {event: Order Completed}]",
            'Did you mean "Order Completed"?',
        ),
        ("event: Order Completed\nmeasure: last\nvalue: properties.zip\nwithin: 7d", "a number"),
        (
            "event: Order Completed\nmeasure: quantile\nquantile: p90\ncovariate: 9d\nwithin: 7d",
            "cannot be adjusted",
        ),
    ],
)
def test_a_slip_in_a_measure_is_named(text: str, says: str) -> None:
    found = problems_of({**PARTS, "metrics/it.yaml": f"metric: it\n{text}\n"})

    assert len(found) == 1, found
    assert says in found[0]
