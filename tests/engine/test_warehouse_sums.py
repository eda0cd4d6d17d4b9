"""One portable text on SQLite, PostgreSQL and DuckDB gives the same sums, and only sums leave."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pytest

from experiments.errors import DataError
from experiments.metrics import nonzero_cap
from experiments.sums.aggregates import Aggregates
from experiments.sums.statement import Assignment, Query, clean, sums_statement
from experiments.sums.warehouse import sum_in_warehouse

Run = Callable[[str], Sequence[Sequence[Any]]]
Rows = list[tuple[Any, ...]]

ASSIGNED = (
    "CREATE TABLE assigned (unit VARCHAR(20), variant VARCHAR(20), country VARCHAR(9),"
    " exposed_at BIGINT, until_at BIGINT, since_at BIGINT)"
)
ORDERS = "CREATE TABLE orders (person VARCHAR(20), amount DOUBLE PRECISION, happened BIGINT)"
QUERY = (
    "-- orders; all of them\nSELECT person AS unit, amount AS value, happened AS at FROM orders;"
)
TIMED = Assignment(sql="SELECT * FROM assigned", has_times=True, has_since=True)


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[Run, Callable[[str, Rows], None]]]:
    """How to ask a database, and how to fill a table of it."""
    if request.param == "postgresql":
        psycopg = pytest.importorskip("psycopg")
        url = request.getfixturevalue("postgres_server")()
        connection: Any = psycopg.connect(url, autocommit=True)
        mark = "%s"
    elif request.param == "duckdb":
        connection, mark = duckdb.connect(), "?"
    else:
        connection, mark = sqlite3.connect(":memory:"), "?"

    def run(sql: str) -> Sequence[Sequence[Any]]:
        return list(connection.execute(sql).fetchall())

    def fill(create: str, rows: Rows) -> None:
        connection.execute(create)
        marks = ", ".join([mark] * len(rows[0]))
        cursor = connection.cursor() if request.param == "postgresql" else connection
        cursor.executemany(f"INSERT INTO {create.split()[2]} VALUES ({marks})", rows)

    yield run, fill
    connection.close()


def a_world(*, seed: int, offset: float = 0.0) -> tuple[Rows, Rows]:
    """Assignments with a window each, and orders around them, some exactly on an edge."""
    rng = np.random.default_rng(seed)
    assigned: Rows = []
    orders: Rows = []
    for i in range(400):
        at = int(rng.integers(1_000, 2_000))
        variant = "mail" if rng.random() < 0.5 else "none"
        country = None if rng.random() < 0.1 else ("DE" if rng.random() < 0.5 else "FR")
        assigned.append((f"u{i}", variant, country, at, at + 100, at - 300))
        for _ in range(int(rng.poisson(2))):
            edge = int(rng.choice([0, 1, 100, 101, -300, -299, int(rng.integers(-400, 200))]))
            orders.append((f"u{i}", float(offset + rng.gamma(2, 20)), at + edge))
    orders.append(("somebody else", 1e9, 1_500))
    return assigned, orders


def by_hand(assigned: Rows, orders: Rows, variant: str) -> tuple[list[float], list[float]]:
    """Each unit's sums in (exposed, until] and in (since, exposed]."""
    after, before = [], []
    for unit, its, _, exposed, until, since in assigned:
        if its == variant:
            mine = [(amount, at) for person, amount, at in orders if person == unit]
            after.append(sum(amount for amount, at in mine if exposed < at <= until))
            before.append(sum(amount for amount, at in mine if since < at <= exposed))
    return after, before


def test_every_database_gives_the_sums_that_a_count_by_hand_gives(database):
    run, fill = database
    assigned, orders = a_world(seed=1)
    fill(ASSIGNED, assigned)
    fill(ORDERS, orders)
    revenue = Query(name="revenue", sql=QUERY, has_times=True, covariate=True)
    ordered = Query(name="ordered", sql=QUERY, has_times=True, how="happened")
    number = Query(name="number", sql=QUERY, how="count")

    found = sum_in_warehouse(run, TIMED, [revenue, ordered, number])

    for variant in ("mail", "none"):
        after, before = by_hand(assigned, orders, variant)
        ever = [float(sum(o[0] == a[0] for o in orders)) for a in assigned if a[1] == variant]
        expected = Aggregates.from_columns({
            "revenue": after, "revenue before": before,
            "ordered": [float(value > 0) for value in after], "number": ever,
        })  # fmt: skip
        part = found.aggregates[variant]
        assert part.n == expected.n
        for column in expected.columns:
            assert part.mean(column) == pytest.approx(expected.mean(column), rel=1e-9)
            assert part.variance(column) == pytest.approx(expected.variance(column), rel=1e-9)
        assert part.covariance("revenue", "revenue before") == pytest.approx(
            expected.covariance("revenue", "revenue before"), rel=1e-9
        )
        assert not part.has_pair("revenue", "ordered")


def test_a_large_offset_costs_no_precision_in_any_database(database):
    run, fill = database
    noise = np.random.default_rng(2).normal(0, 1, 4_000)
    values = 1e8 + noise
    fill(ASSIGNED, [(f"u{i}", "ab"[i % 2], None, 0, 0, 0) for i in range(len(values))])
    fill(ORDERS, [(f"u{i}", float(value), 0) for i, value in enumerate(values)])

    found = sum_in_warehouse(run, Assignment(sql="SELECT * FROM assigned"), [
        Query(name="y", sql="SELECT person AS unit, amount AS value FROM orders")
    ])  # fmt: skip

    exact = np.var(values[::2] - 1e8, ddof=1)
    assert found.aggregates["a"].variance("y") == pytest.approx(exact, rel=1e-9)


def test_a_cap_is_the_quantile_of_the_non_zero_sums_of_all_variants(database):
    run, fill = database
    assigned, orders = a_world(seed=3)
    fill(ASSIGNED, assigned)
    fill(ORDERS, orders)

    found = sum_in_warehouse(
        run, TIMED, [Query(name="revenue", sql=QUERY, has_times=True, cap_share=0.9)]
    )

    sums = {v: by_hand(assigned, orders, v)[0] for v in ("mail", "none")}
    cap = nonzero_cap([*sums["mail"], *sums["none"]], share=0.9)
    assert found.caps[0].limit == pytest.approx(cap, rel=1e-12)
    assert found.aggregates["mail"].mean("revenue capped at p90") == pytest.approx(
        np.minimum(sums["mail"], cap).mean(), rel=1e-9
    )


def test_a_ratio_and_a_stratum_come_in_the_same_statement(database):
    run, fill = database
    assigned, orders = a_world(seed=4)
    fill(ASSIGNED, assigned)
    fill(ORDERS, orders)
    each = Query(
        name="each", values=("total", "n"),
        sql="SELECT person AS unit, amount AS total, 1 AS n FROM orders",
    )  # fmt: skip

    found = sum_in_warehouse(run, Assignment(sql="SELECT * FROM assigned", by="country"), [each])

    assert set(found.strata["mail"]) == {"DE", "FR", "(none)"}
    whole = sum_in_warehouse(run, Assignment(sql="SELECT * FROM assigned"), [each])
    for variant, part in whole.aggregates.items():
        merged = found.aggregates[variant]
        assert merged.n == part.n
        assert merged.covariance("each: total", "each: n") == pytest.approx(
            part.covariance("each: total", "each: n"), rel=1e-9
        )


def test_units_in_two_variants_are_left_out_and_counted_per_variant(database):
    run, fill = database
    rows = [("u1", "a"), ("u1", "a"), ("u2", "a"), ("u2", "b"), ("u3", "b"), ("u4", "a")]
    fill(ASSIGNED, [(unit, variant, None, 0, 0, 0) for unit, variant in rows])
    fill(ORDERS, [("u1", 5.0, 0), ("u2", 7.0, 0), ("u3", None, 0)])

    found = sum_in_warehouse(run, Assignment(sql="SELECT * FROM assigned"), [
        Query(name="y", sql="SELECT person AS unit, amount AS value FROM orders")
    ])  # fmt: skip

    assert {variant: part.n for variant, part in found.aggregates.items()} == {"a": 2, "b": 1}
    assert found.aggregates["a"].mean("y") == 2.5
    assert dict(found.excluded[0].n_by_variant) == {"a": 1, "b": 1}
    assert (found.excluded[0].n, found.excluded[0].of) == (1, 4)
    assert any("1 of 4 units appear in more than one variant" in note for note in found.notes)
    assert any('1 rows of "y" have no value' in note for note in found.notes)


def test_ten_thousand_variants_are_refused_before_the_metrics_are_asked(database):
    run, fill = database
    fill(ASSIGNED, [(f"u{i}", f"v{i}", None, 0, 0, 0) for i in range(10_000)])
    asked: list[str] = []

    def listening(sql: str) -> Sequence[Sequence[Any]]:
        asked.append(sql)
        return run(sql)

    with pytest.raises(DataError, match="10,000 variants; at most 50"):
        sum_in_warehouse(
            listening,
            Assignment(sql="SELECT * FROM assigned"),
            [Query(name="y", sql="SELECT nothing FROM nowhere")],
        )

    assert len(asked) == 1


def test_only_sums_leave():
    sql = sums_statement(TIMED, Query(name="y", sql=QUERY, has_times=True, covariate=True))

    outermost = sql.rpartition(")\nSELECT ")[2]

    assert outermost.startswith("variant, NULL, COUNT(*), MIN(c0)")
    assert "unit" not in outermost


@pytest.mark.parametrize(
    ("sql", "says"),
    [(" ; ", "is empty"), ("SELECT 1; DROP TABLE orders", "several statements")],
)
def test_what_is_no_single_query_is_refused(sql, says):
    with pytest.raises(DataError, match=says):
        clean(sql)


def test_a_semicolon_in_quotes_or_a_comment_ends_nothing():
    text = "SELECT ';' AS unit, 1 AS \"a;b\" /* ; */ -- ;\nFROM orders"

    assert clean(text + " ;") == text + "\n"
