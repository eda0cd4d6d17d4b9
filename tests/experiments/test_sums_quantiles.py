"""Quantiles and the order statistics around them, against numpy's sort."""

import doctest

import duckdb
import numpy as np
import pytest

from experiments.errors import DataError
from experiments.metrics import Metric
from experiments.sums import quantiles
from experiments.sums.duckdb_statement import Table
from experiments.sums.duckdb_sums import sum_units
from experiments.sums.quantiles import ranks

Z = 1.959963984540054


def summed(values, arm, *, q, cluster=None):
    connection = duckdb.connect()
    given = {"variant": np.asarray(arm), "y": np.asarray(values, dtype=float)}
    if cluster is not None:
        given["cluster"] = np.asarray(cluster)
    connection.register("given", given)
    connection.execute("CREATE TABLE units AS SELECT * FROM given")
    table = Table(
        sql="units", variant="variant", columns={"y": "y"},
        cluster="cluster" if cluster is not None else None,
    )  # fmt: skip
    return sum_units(connection, table, [Metric(name="y", kind="quantile", q=q)])


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.123])
def test_the_quantile_and_its_neighbours_are_numpys(q):
    rng = np.random.default_rng(1)
    arm = rng.choice(["a", "b"], 5_001)
    values = rng.lognormal(3, 2, 5_001)

    found = summed(values, arm, q=q).quantiles["y"]

    for name in ("a", "b"):
        mine = np.sort(values[arm == name])
        sums = found[name]
        half = Z * np.sqrt(q * (1 - q) * len(mine))
        assert sums.n == len(mine)
        assert sums.value == pytest.approx(np.quantile(mine, q), rel=1e-12)
        assert sums.rank_lower == int(np.floor(len(mine) * q - half))
        assert sums.lower == mine[sums.rank_lower - 1]
        assert sums.upper == mine[sums.rank_upper - 1]
        assert not sums.is_cut


def test_ties_and_whole_numbers_keep_the_order_statistics():
    arm = ["a"] * 500 + ["b"] * 500
    values = [0] * 480 + [5] * 20 + [1] * 500

    found = summed(values, arm, q=0.95).quantiles["y"]

    assert (found["a"].lower, found["a"].value, found["a"].upper) == (0.0, 0.0, 5.0)
    assert (found["b"].lower, found["b"].upper) == (1.0, 1.0)


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_ranks_outside_the_data_are_cut_and_say_so(n):
    found = summed(np.arange(2 * n), ["a", "b"] * n, q=0.99).quantiles["y"]["a"]

    assert found.is_cut
    assert 1 <= found.rank_lower <= found.rank_upper <= n


def test_clusters_that_are_alike_inside_move_the_ranks_apart():
    # 40 clusters of 50 units with the same value each: as good as 40 units, a design effect of 50.
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(80), 50)
    values = np.repeat(rng.normal(0, 1, 80), 50)
    arm = np.where(cluster % 2, "a", "b")

    found = summed(values, arm, q=0.5, cluster=cluster).quantiles["y"]["a"]

    mine = values[arm == "a"]
    below = np.array(
        [np.sum(mine[cluster[arm == "a"] == c] <= found.value) for c in range(1, 80, 2)]
    )
    share = below.sum() / 2_000
    by_hand = np.var(below, ddof=1) / 50 / 0.25  # Sizes are all 50: no other term is left.
    assert share == 0.5
    assert found.n_clusters == 40
    assert found.deff == pytest.approx(by_hand, rel=1e-9)
    assert found.deff == pytest.approx(50, rel=0.05)
    half = Z * np.sqrt(0.25 * found.deff * 2_000)
    assert found.rank_lower == int(np.floor(1_000 - half))


def test_clusters_that_say_nothing_leave_the_ranks_as_they_are():
    rng = np.random.default_rng(3)
    values, cluster = rng.normal(0, 1, 4_000), rng.integers(0, 200, 4_000)

    found = summed(values, ["a", "b"] * 2_000, q=0.5, cluster=cluster).quantiles["y"]["a"]

    assert 1 <= found.deff < 1.3


def test_a_quantile_beside_sums_is_read_from_the_same_units():
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE units AS SELECT CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS variant,"
        " i::DOUBLE AS y FROM range(1000) t(i)"
    )
    table = Table(sql="units", variant="variant", columns={"y": "y"})

    found = sum_units(
        connection, table, [Metric(name="mean", column="y"),
                            Metric(name="median", kind="quantile", column="y", q=0.5)]
    )  # fmt: skip

    assert found.aggregates["a"].columns == ("y",)
    assert found.quantiles["median"]["a"].value == 499.0


def test_a_quantile_alone_still_says_how_many_units_there_are():
    found = summed(range(100), ["a", "b"] * 50, q=0.5)

    assert {name: part.n for name, part in found.aggregates.items()} == {"a": 50, "b": 50}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(DataError, match="not finite for 1 units"):
        summed([1.0, bad, 2.0, 3.0], ["a", "b", "a", "b"], q=0.5)


def test_a_quantile_of_nobody_does_not_exist():
    with pytest.raises(DataError, match="of no unit"):
        ranks(0, q=0.5, z=Z)


def test_the_examples_hold():
    assert doctest.testmod(quantiles).failed == 0
