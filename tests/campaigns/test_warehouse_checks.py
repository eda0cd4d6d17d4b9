"""Metrics from SQL as `check` sees them: offline, with the line, what was found and the mend."""

import pytest

from campaigns.metrics import WarehouseMetric, compile_metrics
from campaigns.plan import difference
from campaigns.workspace import Workspace
from tests.campaigns.build import SETTINGS, a_workspace, problems_of

CONNECTED = SETTINGS + 'connections: {warehouse: "${env:WAREHOUSE_URL:-postgresql://shop}"}\n'
QUERY = "SELECT customer AS unit, paid AS value, paid_at AS at FROM orders;\n"
REVENUE = """\
metric: revenue
measure: sum
source: {connection: warehouse, query: metrics/revenue.sql}
within: 14d
winsorize: p99
covariate: 30d
"""
SHOP = {
    "antiphon.yaml": CONNECTED,
    "metrics/revenue.yaml": REVENUE,
    "metrics/revenue.sql": QUERY,
}


def problem(**changed: str | None) -> str:
    """The one problem of the shop with these files changed; `__` stands for `/`."""
    found = problems_of({**SHOP, **changed})
    assert len(found) == 1, found
    return found[0]


def test_a_metric_from_sql_carries_its_query_and_never_an_address() -> None:
    workspace = a_workspace(SHOP)

    metric = compile_metrics(workspace)["revenue"]

    assert isinstance(metric, WarehouseMetric)
    assert metric.source.sql == QUERY
    assert (metric.source.connection, metric.source.unit) == ("warehouse", "user")
    assert "postgresql://shop" not in repr(metric)


def test_the_query_is_hashed_with_the_workspace_and_its_lines_are_shown_by_plan() -> None:
    old = a_workspace(SHOP)
    new = a_workspace({**SHOP, "metrics/revenue.sql": QUERY.replace(";", "\nWHERE paid > 0")})

    (change,) = difference(old, new)

    assert old.content_hash != new.content_hash
    assert (change.kind, change.construct, change.name) == ("~", "metric", "revenue")
    assert "metrics/revenue.sql: + WHERE paid > 0" in change.details


REFUSED = {
    "an unknown connection": (
        {"metrics/revenue.yaml": REVENUE.replace("warehouse", "warehous")},
        'metrics/revenue.yaml:3: there is no connection "warehous". Did you mean "warehouse"?',
    ),
    "no connection at all": (
        {"antiphon.yaml": SETTINGS},
        'metrics/revenue.yaml:3: there is no connection "warehouse". Declare it in antiphon.yaml.',
    ),
    "a file that is not there": (
        {"metrics/revenue.yaml": REVENUE.replace("revenue.sql", "revenu.sql")},
        'metrics/revenue.yaml:3: there is no file "metrics/revenu.sql". Did you mean '
        '"metrics/revenue.sql"?',
    ),
    "a file elsewhere": (
        {"metrics/revenue.yaml": REVENUE.replace("metrics/revenue.sql", "../../etc/passwd")},
        "metrics/revenue.yaml:3: the query \"../../etc/passwd\" is not a file of this workspace. "
        "Put it beside its metric: query: metrics/revenue.sql.",
    ),
    "an empty query": ({"metrics/revenue.sql": " \n"}, "metrics/revenue.sql:1: the query is empty"),
    "two statements": (
        {"metrics/revenue.sql": "SELECT 1 AS unit, 2 AS value; DROP TABLE orders"},
        "metrics/revenue.sql:1: the query holds several statements",
    ),
    "no question": (
        {"metrics/revenue.sql": "-- all\nDELETE FROM orders"},
        'metrics/revenue.sql:1: a query reads: it begins with SELECT or WITH, not with "delete".',
    ),
    "an event beside it": (
        {"metrics/revenue.yaml": REVENUE + "event: Order Completed\n"},
        "event belongs to events; here the query says which rows count",
    ),
    "a quantile": (
        {"metrics/revenue.yaml": "metric: revenue\nmeasure: quantile\nquantile: p50\nwithin: 7d\n"
         "source: {connection: warehouse, query: metrics/revenue.sql}\n"},
        "measure: quantile needs every row, and only sums leave a warehouse.",
    ),
    "no window": (
        {"metrics/revenue.yaml": REVENUE.replace("within: 14d\n", "")},
        "a metric counts for a time: within: 14d, or over: period",
    ),
    "an unknown key": (
        {"metrics/revenue.yaml": REVENUE.replace("sql}", "sql, url: x}")},
        'metrics/revenue.yaml:3: unknown key "url". Allowed: connection, query, unit.',
    ),
    "units that are personal data": (
        {"metrics/revenue.yaml": REVENUE.replace(".sql}", ".sql, unit: traits.email}")},
        "metrics/revenue.yaml:3: traits.email is personal data, which is sealed here",
    ),
    "units of a trait that is not declared": (
        {"metrics/revenue.yaml": REVENUE.replace(".sql}", ".sql, unit: traits.plans}")},
        'metrics/revenue.yaml:3: antiphon.yaml declares no trait "plans". Did you mean '
        '"traits.plan"?',
    ),
    "a ratio of two places": (
        {"metrics/per.yaml": "metric: per\nmeasure: ratio\nratio: {of: revenue, to: ordered-7d}\n"},
        'metrics/per.yaml:3: the ratio "per" needs both sums of each unit in one place, but '
        '"revenue" lies in the connection "warehouse" and "ordered-7d" lies in our events.',
    ),
    "a password that is written out": (
        {"antiphon.yaml": SETTINGS + "connections: {warehouse: 'postgresql://a:hunter2@h/db'}\n"},
        "antiphon.yaml:14: connections.warehouse has its password written out.",
    ),
    "an address that is none": (
        {"antiphon.yaml": SETTINGS + "connections: {warehouse: hunter2}\n"},
        "antiphon.yaml:14: connections.warehouse is no address that is known. Allowed: sqlite:///",
    ),
    "an address that is a map": (
        {"antiphon.yaml": SETTINGS + "connections: {warehouse: {host: h}}\n"},
        "antiphon.yaml:14: connections.warehouse is not an address.",
    ),
    "a bandit": (
        {"experiments/best.yaml": "experiment: best\nunit: user\n"
         "variants: {control: {value: 1}, other: {value: 2}}\n"
         "metrics: {primary: revenue}\nallocation: {bandit: {algorithm: thompson}}\n"},
        'experiments/best.yaml:4: the bandit "best" reads each unit\'s outcome, and only sums of '
        '"revenue" leave its warehouse.',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_read_out_is_refused_with_its_line_and_the_mend(name: str) -> None:
    changed, says = REFUSED[name]

    found = problem(**changed)

    assert says in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"metrics/revenue.yaml": REVENUE.replace(".sql}", ".sql, unit: traits.plan}")},
        {"metrics/revenue.yaml": REVENUE.replace("measure: sum", "measure: mean_per_event")},
        {"metrics/ordered.yaml": "metric: ordered-7d\nevent: Order Completed\nwithin: 7d\n"
         "source: events\n"},
        {"metrics/per.yaml": "metric: per\nmeasure: ratio\nratio: {of: revenue, to: number}\n",
         "metrics/number.yaml": REVENUE.replace("revenue\nmeasure: sum", "number\nmeasure: count")},
        {"antiphon.yaml": SETTINGS + "connections: {warehouse: 'sqlite:////srv/shop.db'}\n"},
    ],
)  # fmt: skip
def test_what_can_be_read_out_passes_without_asking_the_warehouse(
    changed: dict[str, str | None],
) -> None:
    workspace: Workspace = a_workspace({**SHOP, **changed})

    assert compile_metrics(workspace).keys() >= {"revenue", "ordered-7d"}
