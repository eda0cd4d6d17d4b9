"""DuckDB's one statement gives what numpy gives on the same units, whatever they look like."""

import duckdb
import numpy as np
import pytest

from experiments.errors import DataError
from experiments.metrics import Metric, nonzero_cap
from experiments.sums.aggregates import Aggregates, merged_strata
from experiments.sums.duckdb_statement import Table
from experiments.sums.duckdb_sums import BrokenRows, sum_units
from experiments.sums.needs import needs_of
from experiments.sums.quantiles import CLUSTER_UNITS
from experiments.sums.unit_sums import missing_column

KEYS = ("variant", "stratum", "country", "cluster")


class Listening:
    """A connection that remembers what it was asked."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection, self.asked = connection, []

    def execute(self, sql):
        self.asked.append(sql)
        return self.connection.execute(sql)


def a_table(columns, *, keys=("variant",), **more):
    """The columns as a DuckDB table, NaN as an empty cell."""
    connection = duckdb.connect()
    connection.register("given", {name: np.asarray(values) for name, values in columns.items()})
    chosen = ", ".join(
        f'"{name}"' if name in KEYS else f'nullif("{name}", \'nan\'::DOUBLE) AS "{name}"'
        for name in columns
    )
    connection.execute(f"CREATE TABLE units AS SELECT {chosen} FROM given")
    named = {
        "stratum": "stratum" if "stratum" in keys else None,
        "cluster": "cluster" if "cluster" in keys else None,
        "dimensions": {"country": "country"} if "country" in keys else {},
        **more,
    }
    plain = {name: f'"{name}"' for name in columns if name not in KEYS}
    return Listening(connection), Table(sql="units", variant="variant", columns=plain, **named)


def units(n=3_000, *, seed=1):
    rng = np.random.default_rng(seed)
    past = rng.gamma(2, 100, n)
    bought = rng.random(n) < 0.3
    spend = bought * rng.gamma(2, 20 + past / 10, n)
    return {
        "variant": rng.choice(["mail", "none", "push"], n),
        "stratum": rng.choice(["new", "old"], n),
        "country": rng.choice(["DE", "FR", "US"], n),
        "cluster": np.array([f"c{i}" for i in rng.integers(0, 60, n)]),
        "spend": spend,
        "orders": bought * (1.0 + rng.poisson(0.3, n)),
        "past": past,
        "visits": rng.poisson(past / 50).astype(float),
    }


METRICS = (
    Metric(name="spend", covariates=("past", "visits")),
    Metric(name="orders", kind="count", covariates=("past",)),
    Metric(name="each", kind="ratio", numerator="spend", denominator="orders"),
)


def same(found, expected, pairs):
    assert found.n == expected.n
    for one, other in pairs:
        assert found.mean(one) == pytest.approx(expected.mean(one), rel=1e-11)
        assert found.covariance(one, other) == pytest.approx(
            expected.covariance(one, other), rel=1e-9, abs=1e-9
        )


def test_every_group_has_the_moments_of_its_units():
    data = units()
    connection, table = a_table(data, keys=KEYS)

    found = sum_units(connection, table, METRICS)

    names = ("spend", "orders", "past", "visits")
    pairs = [("spend", "spend"), ("spend", "past"), ("spend", "visits"), ("past", "visits"),
             ("orders", "past"), ("spend", "orders")]  # fmt: skip
    for variant in ("mail", "none", "push"):
        arm = data["variant"] == variant
        whole = Aggregates.from_columns({name: data[name][arm] for name in names})
        same(found.aggregates[variant], whole, pairs)
        for stratum in ("new", "old"):
            cell = arm & (data["stratum"] == stratum)
            part = Aggregates.from_columns({name: data[name][cell] for name in names})
            same(found.strata[variant][stratum], part, pairs)
        for country in ("DE", "FR", "US"):
            cell = arm & (data["country"] == country)
            part = Aggregates.from_columns({name: data[name][cell] for name in names})
            same(found.dimensions["country"][country][variant], part, pairs)
        same(merged_strata(found.strata)[variant], whole, pairs)


def test_clusters_have_the_moments_of_their_sums():
    data = units()
    connection, table = a_table(data, keys=("cluster",))

    found = sum_units(connection, table, METRICS)

    arm = data["variant"] == "mail"
    names = sorted(set(data["cluster"][arm]))
    sums = {
        column: [float(data[column][arm & (data["cluster"] == name)].sum()) for name in names]
        for column in ("spend", "orders", "past")
    }
    sums[CLUSTER_UNITS] = [float((arm & (data["cluster"] == name)).sum()) for name in names]
    same(found.clusters["mail"], Aggregates.from_columns(sums), [
        ("spend", "spend"), ("spend", CLUSTER_UNITS), (CLUSTER_UNITS, CLUSTER_UNITS),
        ("spend", "orders"), ("spend", "past"), ("past", CLUSTER_UNITS),
    ])  # fmt: skip


def test_only_pairs_that_a_metric_needs_are_summed_and_others_are_refused():
    connection, table = a_table(units())

    found = sum_units(connection, table, METRICS).aggregates["mail"]

    assert found.has_pair("orders", "past")
    assert not found.has_pair("orders", "visits")
    with pytest.raises(DataError, match="'orders' and 'visits' were not summed"):
        found.covariance("orders", "visits")
    with pytest.raises(DataError, match="not among the aggregates"):
        found.covariance("orders", "height")


def test_a_further_metric_or_covariate_is_no_further_question():
    data = units()
    few, table = a_table(data, keys=KEYS)
    many, _ = few, None
    sum_units(few, table, METRICS[:1])
    n_few = len(few.asked)
    few.asked.clear()

    sum_units(many, table, METRICS)

    assert len(many.asked) == n_few
    assert sum("GROUPING SETS" in sql for sql in many.asked) == 1


def test_five_metrics_with_five_shared_covariates_need_fifty_five_sums_of_products():
    covariates = tuple(f"x{i}" for i in range(5))
    metrics = [Metric(name=f"m{i}", covariates=covariates) for i in range(5)]

    assert len(needs_of(metrics).pairs) == 5 + 5 * 5 + 15
    assert len(needs_of(metrics[:1]).pairs) == 1 + 5 + 15


# --- digits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["as drawn", "ascending", "descending"])
@pytest.mark.parametrize(("mean", "deviation"), [(1e8, 1.0), (1.7e12, 1e5), (0.0, 1e-6), (-5, 3)])
def test_neither_offset_nor_the_order_of_rows_costs_digits(mean, deviation, order):
    values = mean + np.random.default_rng(3).normal(0, deviation, 60_000)
    values = {"as drawn": values, "ascending": np.sort(values), "descending": -np.sort(-values)}[
        order
    ]
    arm = np.where(np.arange(len(values)) % 2, "a", "b")
    connection, table = a_table({"variant": arm, "y": values})

    found = sum_units(connection, table, [Metric(name="y")])

    for name in ("a", "b"):
        exact = np.var(values[arm == name] - mean, ddof=1)
        assert found.aggregates[name].variance("y") == pytest.approx(exact, rel=1e-9)


def test_variants_far_from_each_other_are_summed_again_by_welford():
    # One shift for both lies far from each: its squares would drown a variance of 1.
    noise = np.random.default_rng(4).normal(0, 1, 4_000)
    arm = np.where(np.arange(4_000) % 2, "a", "b")
    values = np.where(arm == "a", 1e8, 0) + noise
    empty = np.where(np.arange(4_000) % 5, values - 7, np.nan)
    connection, table = a_table({"variant": arm, "y": values, "x": values - 7, "z": empty})

    found = sum_units(connection, table, [Metric(name="y", covariates=("x", "z"))])

    exact = np.var(values[arm == "a"] - 1e8, ddof=1)
    assert found.aggregates["a"].variance("y") == pytest.approx(exact, rel=1e-9)
    assert found.aggregates["a"].covariance("y", "x") == pytest.approx(exact, rel=1e-7)
    lacking = np.isnan(empty)
    filled = np.where(lacking, np.nanmean(empty), empty)[arm == "a"]
    part = found.aggregates["a"]
    assert part.mean(missing_column("z")) == pytest.approx(lacking[arm == "a"].mean())
    assert part.variance("z") == pytest.approx(np.var(filled, ddof=1), rel=1e-9)
    assert sum("var_pop" in sql for sql in connection.asked) == 1


@pytest.mark.parametrize("constant", [0.1, 1e12 / 3, 0.0, 7.0])
def test_a_column_that_is_constant_in_a_variant_has_no_variance_there(constant):
    arm = np.where(np.arange(2_000) % 2, "a", "b")
    varying = np.random.default_rng(5).gamma(2, 3, 2_000)
    values = np.where(arm == "a", constant, varying)
    connection, table = a_table({"variant": arm, "y": values, "z": np.full(2_000, constant)})

    found = sum_units(connection, table, [Metric(name="y"), Metric(name="z")])

    assert found.aggregates["a"].variance("y") == 0.0
    assert found.aggregates["b"].variance("z") == 0.0
    assert found.aggregates["b"].variance("y") == pytest.approx(
        np.var(varying[arm == "b"], ddof=1), rel=1e-9
    )


# --- caps and gaps ------------------------------------------------------------------------------


def test_a_cap_is_shared_by_all_variants_and_both_numbers_are_there():
    data = units()
    connection, table = a_table(data)

    found = sum_units(
        connection, table, [Metric(name="spend", cap_share=0.95, covariates=("past",))]
    )

    cap = nonzero_cap(data["spend"], share=0.95)
    (said,) = found.caps
    assert said.limit == pytest.approx(cap, rel=1e-12)
    for variant, part in found.aggregates.items():
        mine = data["spend"][data["variant"] == variant]
        assert part.mean("spend capped at p95") == pytest.approx(np.minimum(mine, cap).mean())
        assert part.mean("spend") == pytest.approx(mine.mean())
        assert part.variance("spend") == pytest.approx(np.var(mine, ddof=1))
        assert said.n_above[variant] == (mine > cap).sum()


def test_a_cap_over_nothing_but_zeros_cuts_nothing():
    connection, table = a_table({"variant": ["a", "b"] * 5, "y": np.zeros(10)})

    found = sum_units(connection, table, [Metric(name="y", cap_share=0.99)])

    assert found.caps == ()
    assert found.aggregates["a"].mean("y capped at p99") == 0.0


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_where_a_covariate_is_empty_the_pooled_mean_stands_in(offset):
    data = units()
    past = np.where(np.random.default_rng(6).random(3_000) < 0.2, np.nan, data["past"] + offset)
    connection, table = a_table({**data, "past": past}, keys=("stratum",))

    found = sum_units(connection, table, [Metric(name="spend", covariates=("past", "visits"))])

    indicator = missing_column("past")
    filled = np.where(np.isnan(past), np.nanmean(past), past)
    assert found.covariates_with_gaps == ("past",)
    for variant, part in found.aggregates.items():
        arm = data["variant"] == variant
        expected = Aggregates.from_columns({
            "spend": data["spend"][arm], "past": filled[arm], "visits": data["visits"][arm],
            indicator: np.isnan(past)[arm].astype(float),
        })  # fmt: skip
        same(part, expected, [
            ("past", "past"), ("past", "spend"), ("past", "visits"), ("past", indicator),
            (indicator, indicator), (indicator, "spend"),
        ])  # fmt: skip
    assert any("empty for" in note for note in found.notes)


def test_a_covariate_that_is_empty_for_everyone_is_refused():
    data = {"variant": ["a", "b"] * 5, "y": np.arange(10.0), "x": np.full(10, np.nan)}
    connection, table = a_table(data)

    with pytest.raises(DataError, match="'x' is empty for every unit"):
        sum_units(connection, table, [Metric(name="y", covariates=("x",))])


# --- what must not pass -------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["inf", "-inf", "nan"])
def test_values_that_are_not_finite_are_found_by_the_sums_themselves(bad):
    connection = duckdb.connect()
    connection.execute(
        f"CREATE TABLE units AS SELECT 'a' AS variant, 1.0::DOUBLE AS y UNION ALL"
        f" SELECT 'b', '{bad}'::DOUBLE"
    )
    table = Table(sql="units", variant="variant", columns={"y": "y"})

    with pytest.raises(BrokenRows) as refusal:
        sum_units(connection, table, [Metric(name="y")])

    assert refusal.value.not_finite == ("y",)


def test_rows_that_break_a_rule_are_counted_in_the_same_statement():
    data = {"variant": ["a", "b"] * 5, "y": np.arange(10.0)}
    connection, table = a_table(data, checks={"small": "y > 6"})

    with pytest.raises(BrokenRows) as refusal:
        sum_units(connection, table, [Metric(name="y")])

    assert refusal.value.broken == {"small": 3}


def test_a_table_without_units_is_refused():
    connection, table = a_table({"variant": ["a"], "y": [1.0]})
    connection.connection.execute("DELETE FROM units")

    with pytest.raises(DataError, match="no unit"):
        sum_units(connection, table, [Metric(name="y")])


def test_names_that_differ_in_outer_spaces_only_are_one_variant():
    connection, table = a_table({"variant": ["a", "a ", "b"], "y": [1.0, 3.0, 5.0]})

    found = sum_units(connection, table, [Metric(name="y")])

    assert {name: part.n for name, part in found.aggregates.items()} == {"a": 2, "b": 1}
    assert found.aggregates["a"].variance("y") == 2.0
