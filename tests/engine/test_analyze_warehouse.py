"""`antiphon analyze --connection`: a file's numbers, out of a database that gives only sums."""

import json
import sqlite3

import duckdb
import numpy as np
import pytest

from tests.engine.test_analyze_command import antiphon, refused, shop

__all__ = ["antiphon", "refused"]

BASIC = ("--variant", "segment", "--control", "none")


@pytest.fixture(params=["sqlite", "duckdb", "postgresql"])
def asked(request, tmp_path):
    """Arguments for a database that holds the shop, one order a row, and the shop itself."""
    frame = shop(2_400)
    people = [(row.id, row.segment, float(row.history)) for row in frame.itertuples()]
    halves = [(row.id, float(row.spend) / 2) for row in frame.itertuples() for _ in range(2)]
    if request.param == "postgresql":
        psycopg = pytest.importorskip("psycopg")
        url = request.getfixturevalue("postgres_server")()
        connection, mark = psycopg.connect(url, autocommit=True), "%s"
    else:
        path = tmp_path / "shop.db"
        url = f"{request.param}:///{path}"
        opener = sqlite3.connect if request.param == "sqlite" else duckdb.connect
        connection, mark = opener(str(path)), "?"
    cursor = connection.cursor()
    for name, columns, rows in (
        ("people", "id VARCHAR(9), segment VARCHAR(9), history DOUBLE PRECISION", people),
        ("orders", "person VARCHAR(9), paid DOUBLE PRECISION", halves),
    ):
        cursor.execute(f"CREATE TABLE {name} ({columns})")
        marks = ", ".join([mark] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    connection.commit()
    connection.close()
    (tmp_path / "assigned.sql").write_text("SELECT id AS unit, segment FROM people;\n")
    (tmp_path / "spend.sql").write_text("SELECT person AS unit, paid AS value FROM orders")
    (tmp_path / "each.sql").write_text("SELECT person AS unit, paid, 1 AS n FROM orders")
    return (tmp_path / "assigned.sql", "--connection", url), frame


def test_a_database_gives_the_numbers_that_a_file_gives(antiphon, tmp_path, asked):
    arguments, frame = asked
    frame.assign(n=2, bought=(frame.spend > 0).astype(int)).to_csv(
        tmp_path / "shop.csv", index=False
    )

    code, out, err = antiphon(
        *arguments, *BASIC, "--json", "--metric", "name=spend,sql=spend.sql,cap=p99",
        "--metric", "name=bought,kind=proportion,sql=spend.sql",
        "--metric", "name=each,kind=ratio,numerator=paid,denominator=n,sql=each.sql",
    )  # fmt: skip
    _, expected, _ = antiphon(
        tmp_path / "shop.csv", *BASIC, "--json", "--metric", "name=spend,cap=p99",
        "--metric", "name=bought,kind=proportion",
        "--metric", "name=each,kind=ratio,numerator=spend,denominator=n",
    )  # fmt: skip

    assert (code, err) == (0, "")
    for name in ("spend", "bought", "each"):
        found = json.loads(out)["metrics"][name]["mail"]
        oracle = json.loads(expected)["metrics"][name]["mail"]
        assert found["pvalue"] == pytest.approx(oracle["pvalue"], rel=1e-9)
        assert found["lift_abs"]["estimate"] == pytest.approx(
            oracle["lift_abs"]["estimate"], rel=1e-9
        )
    assert np.isfinite(json.loads(out)["srm"]["pvalue"])


def test_what_a_query_lacks_is_named(refused, tmp_path, asked):
    arguments, _ = asked
    (tmp_path / "bad.sql").write_text("SELECT person, paid AS value FROM orders")
    (tmp_path / "two.sql").write_text("SELECT 1; DROP TABLE orders")
    (tmp_path / "none.sql").write_text("SELECT unit FROM nowhere")

    assert 'bad.sql: the query yields no column "unit"; it yields person, value' in refused(
        *arguments, *BASIC, "--metric", "name=y,sql=bad.sql"
    )
    assert "several statements" in refused(*arguments, *BASIC, "--metric", "name=y,sql=two.sql")
    assert "none.sql: the warehouse refused" in refused(
        *arguments, *BASIC, "--metric", "name=y,sql=none.sql"
    )
    assert "with --connection it needs sql=FILE" in refused(*arguments, *BASIC, "--metric", "y")
    assert 'yields no column "group"' in refused(
        *arguments, "--variant", "group", "--control", "none", "--metric", "name=y,sql=spend.sql"
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://host/db", '"mysql" is not known; allowed are sqlite:///FILE'),
        ("sqlite:///nowhere/shop.db", "there is no file"),
        ("env:NO_SUCH_VARIABLE", "the environment has no NO_SUCH_VARIABLE"),
    ],
)
def test_a_connection_that_is_none_is_refused_without_showing_the_address(
    refused, tmp_path, url, says
):
    (tmp_path / "assigned.sql").write_text("SELECT 1 AS unit, 'a' AS segment")

    found = refused(
        tmp_path / "assigned.sql", "--connection", url, *BASIC, "--metric", "name=y,sql=y.sql"
    )

    assert says in found


def test_windows_that_end_before_they_begin_are_counted_and_refused(refused, tmp_path, asked):
    (tmp_path / "turned.sql").write_text(
        "SELECT id AS unit, segment, 9 AS exposed_at, 5 AS until_at FROM people"
    )
    arguments, frame = asked

    found = refused(
        tmp_path / "turned.sql", *arguments[1:], *BASIC, "--metric", "name=y,sql=spend.sql"
    )

    assert f"{len(frame):,} of {len(frame):,} rows have until_at before exposed_at" in found
