"""A metric from SQL gives what the same metric gives from our events, and says where it cannot."""

import json
import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from campaigns.metrics import MetricDefinition, Source, WarehouseMetric
from engine.core.errors import UsageError
from engine.core.model.conditions import EventMatch
from engine.core.model.instants import DAY
from engine.opened import opened as _opened
from engine.readout.findings import read_out
from engine.readout.metric_sums import Keys, Unit, outcomes
from engine.readout.warehouse_metrics import sum_everywhere
from engine.store import bulk
from engine.store.database import Database
from engine.store.elsewhere import opened
from engine.store.elsewhere_kinds import instant_of
from experiments.analysis.decision import Choice
from experiments.sums.aggregates import Aggregates
from tests.engine.commanding import Antiphon, _no_database_of_the_developer, antiphon, shop
from tests.engine.test_readout import (
    AS_OF,
    START,
    Happened,
    a_metric,
    a_study,
    keep_events,
    keep_exposures,
)
from tests.engine.test_reports import keep_profiles

__all__ = ["_no_database_of_the_developer", "antiphon", "shop"]

ORDERS = "SELECT person AS unit, amount AS value, happened AS at FROM orders"


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path) -> Iterator[tuple[str, Any]]:
    """The address of a database of the shop's own, and a connection by which it writes."""
    if request.param == "postgresql":
        psycopg = pytest.importorskip("psycopg")
        url = request.getfixturevalue("postgres_server")()
        connection: Any = psycopg.connect(url, autocommit=True)
    else:
        path = tmp_path / f"shop.{request.param}"
        url = f"{request.param}:///{path}"
        opener = sqlite3.connect if request.param == "sqlite" else duckdb.connect
        connection = opener(str(path))
    yield url, connection
    connection.close()


def keep_orders(warehouse: tuple[str, Any], rows: Sequence[tuple[str, float | None, int]]) -> str:
    """The table `orders` with an instant of the database's own kind; gives the address."""
    url, connection = warehouse
    is_text = url.startswith("sqlite")
    kind = "TEXT" if is_text else "TIMESTAMP WITH TIME ZONE"
    connection.execute(
        f"CREATE TABLE orders (person VARCHAR(20), amount DOUBLE PRECISION, happened {kind})"
    )
    written = [(person, amount, said(at) if is_text else moment(at)) for person, amount, at in rows]
    mark = "%s" if url.startswith("postgres") else "?"
    cursor = connection.cursor()
    if written:
        cursor.executemany(f"INSERT INTO orders VALUES ({mark}, {mark}, {mark})", written)
    if not url.startswith("postgres"):
        connection.commit()
        connection.close()  # DuckDB lets one process write.
    return url


def moment(at: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def said(at: int) -> str:
    """Instants as people write them: with a zone and without, a blank or a T."""
    forms = (
        moment(at).isoformat(),
        moment(at).isoformat(sep=" ").removesuffix("+00:00"),
        moment(at).isoformat().replace("+00:00", "Z"),
        (moment(at) + timedelta(hours=2)).isoformat().replace("+00:00", "+02:00"),
    )
    return forms[at % 4]


def from_sql(metric: MetricDefinition, *, sql: str = ORDERS, unit: str = "user") -> WarehouseMetric:
    values = {key: getattr(metric, key) for key in metric.__dataclass_fields__}
    values |= {"match": EventMatch(""), "value": None, "winsorize": metric.winsorize}
    if metric.parts:
        values["parts"] = tuple(from_sql(part, sql=sql, unit=unit) for part in metric.parts)
    return WarehouseMetric(**values, source=Source("shop", "metrics/orders.sql", sql, unit))


def a_revenue(**changes: object) -> MetricDefinition:
    given = {"name": "revenue", "measure": "sum", "value": ("properties", "revenue"), **changes}
    return a_metric(**given)


def keep_identities(database: Database, n: int, *, kind: str = "user") -> None:
    rows = [(kind, f"{kind[0]}{i}", i, START) for i in range(1, n + 1)]
    with database.write() as connection:
        bulk.insert(connection, "identity", ("kind", "value", "profile_id", "created_at"), rows)


def a_shop(
    database: Database, warehouse: tuple[str, Any], *, n: int = 120, seed: int = 4
) -> tuple[str, list[Unit]]:
    """The same orders in our events and in the warehouse, some exactly on an edge."""
    rng = random.Random(seed)
    units = [
        Unit(i, rng.choice(["control", "email"]), START + (i % 20) * DAY + rng.randrange(DAY))
        for i in range(1, n + 1)
    ]
    events: list[Happened] = []
    orders: list[tuple[str, float | None, int]] = []
    for unit in units:
        for _ in range(rng.randrange(6)):
            edge = rng.choice([0, 1, 14 * DAY, 14 * DAY + 1, -30 * DAY, -30 * DAY + 1, 7 * DAY])
            at = unit.at + (edge if rng.random() < 0.4 else rng.randrange(-40 * DAY, 30 * DAY))
            amount = rng.uniform(1, 200) + 30 * (unit.variant == "email")
            events.append((unit.profile_id, "Order Completed", at, {"revenue": amount}))
            orders.append((f"u{unit.profile_id}", amount, at))
    orders.append(("somebody else", 1e9, START + 10 * DAY))
    keep_profiles(database, {i: {"number": 100 + i} for i in range(1, n + 1)})
    keep_identities(database, n)
    keep_exposures(database, units)
    keep_events(database, events)
    return keep_orders(warehouse, orders), units


ALIKE = (
    a_revenue(covariate=30 * DAY, winsorize=0.9),
    a_revenue(name="plain"),
    a_metric(name="number", covariate=30 * DAY),
    a_metric(name="bought", measure="happened", within=7 * DAY),
    a_revenue(name="ever", within=None),
    a_revenue(name="each", measure="mean_per_event", covariate=30 * DAY),
    a_metric(
        name="per buyer", measure="ratio", within=14 * DAY, covariate=30 * DAY, winsorize=0.8,
        parts=(a_revenue(), a_metric(name="bought", measure="happened", within=7 * DAY)),
    ),
    a_metric(
        name="per order", measure="ratio", within=14 * DAY,
        parts=(a_revenue(within=7 * DAY), a_metric()),
    ),
)  # fmt: skip


def assert_alike(
    found: dict[str, Aggregates], expected: dict[str, Aggregates], columns: Sequence[str]
) -> None:
    assert found.keys() == expected.keys()
    for variant, part in found.items():
        oracle = expected[variant]
        assert part.n == oracle.n
        for column in columns:
            assert part.mean(column) == pytest.approx(oracle.mean(column), rel=1e-9, abs=1e-12)
        for a in columns:
            for b in columns:
                if oracle.has_pair(a, b):
                    assert part.moments[part.columns.index(a)][
                        part.columns.index(b)
                    ] == pytest.approx(
                        oracle.moments[oracle.columns.index(a)][oracle.columns.index(b)],
                        rel=1e-9,
                        abs=1e-6,
                    )


def test_a_metric_from_sql_has_the_sums_that_it_has_from_events(database, warehouse):
    url, units = a_shop(database, warehouse)
    keys = Keys(
        dimensions={"country": [(None, "DE", "FR")[unit.profile_id % 3] for unit in units]},
        cluster=[f"house {unit.profile_id // 3}" for unit in units],
    )
    # A cluster is in one variant.
    units = [replace(it, variant="ab"[it.profile_id // 3 % 2]) for it in units]

    with database.read() as connection:
        ours, _ = sum_everywhere(
            connection,
            units,
            [(it, "primary") for it in ALIKE],
            addresses={},
            as_of=AS_OF,
            keys=keys,
        )
        theirs, missing = sum_everywhere(
            connection, units, [(from_sql(it), "primary") for it in ALIKE],
            addresses={"shop": url}, as_of=AS_OF, keys=keys,
        )  # fmt: skip

    assert missing == ()
    assert theirs.metrics == ours.metrics
    assert [cap.limit for cap in theirs.sums.caps] == pytest.approx(
        [cap.limit for cap in ours.sums.caps], rel=1e-9
    )
    for metric in ours.metrics:
        columns = metric.columns
        assert_alike(theirs.sums.aggregates, ours.sums.aggregates, columns)
        for level, arms in ours.sums.dimensions["country"].items():
            assert_alike(theirs.sums.dimensions["country"][level], arms, columns)
        assert_alike(theirs.sums.clusters, ours.sums.clusters, (*columns, "units in cluster"))


def test_a_report_reads_the_same_from_sql_as_from_events_beside_other_metrics(database, warehouse):
    url, _ = a_shop(database, warehouse)
    from_events = a_study(a_revenue(covariate=30 * DAY), a_metric())
    from_both = a_study(
        from_sql(a_revenue(covariate=30 * DAY)), a_metric(), addresses={"shop": url}
    )

    with database.read() as connection:
        expected = read_out(connection, from_events, as_of=AS_OF)
        found = read_out(connection, from_both, as_of=AS_OF)

    assert expected.readout is not None
    assert found.readout is not None
    assert found.n == expected.n
    for name in ("revenue", "orders"):
        mine, oracle = found.readout.of(name, "email"), expected.readout.of(name, "email")
        assert mine.effect.pvalue == pytest.approx(oracle.effect.pvalue, rel=1e-9)
        for a, b in (
            (mine.effect.lift_abs, oracle.effect.lift_abs),
            (mine.effect.lift_rel, oracle.effect.lift_rel),
        ):
            assert (a.estimate, a.ci_lower, a.ci_upper) == pytest.approx(
                (b.estimate, b.ci_lower, b.ci_upper), rel=1e-9
            )
    assert found.readout.decision.choice is expected.readout.decision.choice
    assert len(found.readout.over_time) == len(expected.readout.over_time) > 0


def test_a_trait_and_a_number_of_seconds_serve_as_unit_and_instant(database, warehouse):
    url, connection = warehouse
    keep_profiles(database, {i: {"number": 100 + i} for i in range(1, 9)})
    units = [Unit(i, "ab"[i % 2], START) for i in range(1, 9)]
    connection.execute("CREATE TABLE paid (customer INTEGER, cents INTEGER, seconds BIGINT)")
    connection.execute(f"INSERT INTO paid VALUES (101, 250, {START // 1_000_000 + 60})")
    connection.execute(f"INSERT INTO paid VALUES (102, 999, {START // 1_000_000 - 60})")
    connection.commit()
    connection.close()
    sql = "SELECT customer AS unit, cents / 100.0 AS value, seconds AS at FROM paid"
    metric = from_sql(a_revenue(), sql=sql, unit="traits.number")

    with database.read() as reading:
        found, missing = sum_everywhere(
            reading, units, [(metric, "primary")], addresses={"shop": url}, as_of=AS_OF
        )

    assert missing == ()
    assert found.sums.aggregates["b"].mean("revenue") * 4 == pytest.approx(2.5)
    assert found.sums.aggregates["a"].mean("revenue") == 0


def test_whoever_has_no_id_counts_with_nothing_and_is_counted(sqlite_database, tmp_path):
    url = keep_orders(
        (f"sqlite:///{tmp_path / 'w.db'}", sqlite3.connect(tmp_path / "w.db")),
        [("u1", 5.0, START + 1), ("u2", None, START + 1), ("u3", -2.0, START + 1)],
    )
    keep_identities(sqlite_database, 4)
    units = [Unit(i, "ab"[i % 2], START) for i in range(1, 9)]

    with sqlite_database.read() as connection:
        found, _ = sum_everywhere(
            connection, units, [(from_sql(a_revenue()), "primary")], addresses={"shop": url},
            as_of=AS_OF,
        )  # fmt: skip

    notes = " ".join(found.sums.notes)
    assert found.sums.aggregates["b"].mean("revenue") == pytest.approx((5 - 2) / 4)
    assert "4 of 8 units have no user id" in notes
    assert "(a 2, b 2)" in notes
    assert "1 rows of metrics/orders.sql have no number and add nothing" in notes
    assert "1 rows of metrics/orders.sql have a value below 0" in notes


# --- from the command line ------------------------------------------------------------------------

WORKSPACE = {
    "metrics/revenue.yaml": "metric: revenue\nmeasure: sum\nwithin: 14d\n"
    "source: {connection: warehouse, query: metrics/revenue.sql}\n",
    "metrics/revenue.sql": ORDERS + "\n",
    "experiments/button.yaml": "experiment: button\nunit: user\n"
    "variants: {control: {value: blue}, email: {value: green}}\n"
    "metrics: {primary: revenue, guardrails: [ordered-7d]}\n",
}


def test_a_workspace_is_checked_applied_and_reported_with_its_query(
    shop: Path,
    antiphon: Antiphon,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for path, text in WORKSPACE.items():
        (shop / path).parent.mkdir(exist_ok=True)
        (shop / path).write_text(text)
    settings = shop / "antiphon.yaml"
    settings.write_text(settings.read_text() + '\nconnections: {warehouse: "${env:SHOP_URL}"}\n')
    monkeypatch.setenv("SHOP_URL", "postgresql://reader:hunter2@127.0.0.1:9/shop")
    assert antiphon("check", shop).code == 0  # Offline: nobody listens at that address.
    assert antiphon("apply", shop).code == 0
    with _opened(shop) as it:
        units = [Unit(i, ("control", "email")[i % 2], START) for i in range(1, 41)]
        keep_exposures(it.database, units, name="button")
        with it.database.write() as connection:
            connection.execute("UPDATE exposure SET unit = 'u' || profile_id")
        keep_identities(it.database, 40)
        keep_profiles(it.database, {i: {} for i in range(1, 41)})
    paid = [(f"u{i}", float(i % 7 + 10 * (i % 2)), START + DAY) for i in range(1, 41)]
    keep_orders((f"sqlite:///{tmp_path / 'w.db'}", sqlite3.connect(tmp_path / "w.db")), paid)
    report = ("experiment", "report", "button", shop, "--json", "--as-of", "2023-12-20")

    down = antiphon(*report)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path / 'w.db'}")
    found = antiphon(*report).json()
    (shop / "metrics" / "revenue.sql").write_text(ORDERS + "\nWHERE amount > 100\n")
    plan = antiphon("plan", shop)
    applied = antiphon("apply", shop)
    as_planned = antiphon(*report).json()

    assert "connections.warehouse: postgresql cannot be opened" in down.out
    assert "hunter2" not in down.out + down.error
    compared = found["metrics"]["revenue"]["email"]
    by_hand = {arm: [paid[i - 1][1] for i in range(1, 41) if i % 2 == arm] for arm in (0, 1)}
    assert compared["control"] == pytest.approx(sum(by_hand[0]) / 20, rel=1e-9)
    assert compared["treatment"] == pytest.approx(sum(by_hand[1]) / 20, rel=1e-9)
    assert "metrics/revenue.sql: + WHERE amount > 100" in plan.out
    assert applied.code == 0
    # The phase was planned by the query as it was, and is read by it.
    assert as_planned["metrics"]["revenue"]["email"] == compared
    assert any("amount > 100" in json.dumps(it) for it in as_planned["plan"]["changes"])


# --- what goes wrong --------------------------------------------------------------------------


def test_a_warehouse_that_is_down_leaves_the_other_metrics_and_no_decision(sqlite_database):
    keep_exposures(
        sqlite_database, [Unit(i, ("control", "email")[i % 2], START) for i in range(80)]
    )
    events = [(i, "Order Completed", START + DAY, {}) for i in range(80) if i % 2 or i < 9]
    keep_events(sqlite_database, events)
    address = "postgresql://reader:hunter2@127.0.0.1:9/shop"
    study = a_study(from_sql(a_revenue(title="Revenue")), a_metric(), addresses={"shop": address})

    with sqlite_database.read() as connection:
        found = read_out(connection, study, as_of=AS_OF)

    assert found.readout is not None
    notes = " ".join(found.readout.notes)
    assert "Revenue (primary) is missing: connections.shop: postgresql cannot be opened" in notes
    assert "hunter2" not in notes
    assert [it.metric.name for it in found.readout.comparisons] == ["orders"]
    assert found.readout.comparisons[0].metric.role == "exploratory"
    assert found.readout.decision.choice is Choice.INCONCLUSIVE
    assert "Revenue could not be read" in found.readout.decision.reason


def test_nothing_is_shipped_while_a_guardrail_cannot_be_read(sqlite_database):
    keep_exposures(
        sqlite_database, [Unit(i, ("control", "email")[i % 2], START) for i in range(80)]
    )
    events = [(i, "Order Completed", START + DAY, {}) for i in range(80) if i % 2 or i < 9]
    keep_events(sqlite_database, events)
    guarded = a_study(a_metric(), addresses={})
    guard = (from_sql(a_revenue(title="Revenue")), "guardrail")
    alone, both = guarded, replace(guarded, metrics=(*guarded.metrics, guard))

    with sqlite_database.read() as connection:
        shipped = read_out(connection, alone, as_of=AS_OF).readout
        held = read_out(connection, both, as_of=AS_OF).readout

    assert shipped.decision.choice is Choice.SHIP
    assert held.decision.choice is Choice.INCONCLUSIVE
    assert "harm to it cannot be ruled out" in held.decision.reason
    assert any("antiphon.yaml has no connection shop any more" in it for it in held.notes)
    assert held.of("orders", "email").effect == shipped.of("orders", "email").effect


def test_with_no_metric_left_there_is_no_readout_and_it_says_why(sqlite_database):
    keep_exposures(
        sqlite_database, [Unit(i, ("control", "email")[i % 2], START) for i in range(80)]
    )

    with sqlite_database.read() as connection:
        found = read_out(connection, a_study(from_sql(a_revenue())), as_of=AS_OF)

    assert found.readout is None
    assert "no metric could be read. Orders (primary) is missing" in found.why_not


BROKEN = {
    "no such table": ("SELECT a AS unit, b AS value FROM nowhere", {"within": None}, "refused"),
    "no unit": ("SELECT amount AS value FROM orders", {}, 'no column "unit"; it yields value'),
    "no value": ("SELECT person AS unit FROM orders", {}, 'no column "value"'),
    "no instant": (
        "SELECT person AS unit, amount AS value FROM orders", {}, "the window (within) cannot",
    ),
    "nothing before": (
        "SELECT person AS unit, amount AS value FROM orders",
        {"within": None, "covariate": 30 * DAY}, "delete covariate",
    ),
    "somebody else's ids": (
        "SELECT 'x' || person AS unit, amount AS value, happened AS at FROM orders", {},
        "none of its rows is about anybody exposed. Its column unit is compared with the user id",
    ),
    "infinite": (
        "SELECT person AS unit, 1e308 * 10.0 * amount AS value, happened AS at FROM orders", {}, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_query_that_cannot_be_read_is_missing_and_the_next_one_is_not(
    sqlite_database, warehouse, name
):
    url, units = a_shop(sqlite_database, warehouse, n=30)
    sql, changes, why = BROKEN[name]
    broken = from_sql(a_revenue(**changes), sql=sql)

    with sqlite_database.read() as connection:
        found, missing = sum_everywhere(
            connection, units, [(broken, "primary"), (from_sql(a_metric()), "secondary")],
            addresses={"shop": url}, as_of=AS_OF,
        )  # fmt: skip

    assert [it.name for it in missing] == ["revenue"]
    assert why in missing[0].why
    assert [it.name for it in found.metrics] == ["orders"]
    assert found.sums.aggregates["email"].mean("orders") > 0


def test_text_is_no_number_and_no_instant(sqlite_database, warehouse):
    url, units = a_shop(sqlite_database, warehouse, n=30)
    asked = [
        from_sql(a_revenue(), sql=ORDERS.replace("amount AS", "person AS")),
        from_sql(a_revenue(name="timed"), sql=ORDERS.replace("happened AS", "person AS")),
    ]

    with sqlite_database.read() as connection:
        found, missing = sum_everywhere(
            connection, units, [(it, "primary") for it in asked], addresses={"shop": url},
            as_of=AS_OF,
        )  # fmt: skip

    if url.startswith("sqlite"):  # A value is what it is, and each is asked.
        notes = " ".join(found.sums.notes)
        assert "have no number and add nothing" in notes
        assert "have no instant and add nothing" in notes
        return
    assert ["holds no number but text" in missing[0].why] == [True]
    assert ["is no instant but text" in missing[1].why] == [True]


def test_what_one_unit_did_is_not_asked_of_a_warehouse(sqlite_database):
    with sqlite_database.read() as connection, pytest.raises(UsageError, match="only sums come"):
        outcomes(connection, [Unit(1, "a", START)], from_sql(a_revenue()), as_of=AS_OF)


def test_a_database_elsewhere_is_opened_to_be_read(warehouse):
    url = keep_orders(warehouse, [("u1", 1.0, START)])

    with opened(url) as connection, pytest.raises(Exception, match=r"(?i)read.?only"):
        connection.execute("DELETE FROM orders")


@pytest.mark.parametrize(
    ("value", "at"),
    [
        (1_700_000_000, 1_700_000_000_000_000),
        (1_700_000_000_123, 1_700_000_000_123_000),
        (1_700_000_000_123_456, 1_700_000_000_123_456),
        (1_700_000_000.5, 1_700_000_000_500_000),
        ("2023-11-14T22:13:20.123456Z", 1_700_000_000_123_456),
        ("2023-11-15 00:13:20+02:00", 1_700_000_000_000_000),
        ("2023-11-14", 1_699_920_000_000_000),
        ("yesterday", None),
        (float("nan"), None),
        (b"x", None),
        (None, None),
    ],
)
def test_instants_are_read_as_people_write_them(value, at):
    assert instant_of(value) == at
