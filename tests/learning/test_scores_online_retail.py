"""A gift shop's year: who will not be back within sixty days, foretold from real orders."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest

from engine.core.model.instants import DAY
from engine.learning.matrix import Matrix
from engine.learning.scores import Fold, train
from tests.experiments.data import data_file
from tests.learning.scored_people import a_score, ticking

WINDOW = 60
CUTS = (180, 240, 300)
"""Days after the first order; the data ends on day 373."""

NAMES = (
    "recency_days", "frequency", "monetary", "tenure_days", "orders_30d", "orders_90d",
    "days_between", "returns", "basket",
)  # fmt: skip


KNOWN = """
with bought as (
    select customer, floor(day) as on_day, max(day) as day, sum(money) as money
    from lines where day < $day and not is_return and money > 0 group by all
), returned as (
    select customer, sum(money) as money, count(*) as n
    from lines where day < $day and is_return group by all
)
select customer, $day - max(bought.day), count(*),
    sum(bought.money) + coalesce(any_value(returned.money), 0),
    $day - min(bought.day), count(*) filter (on_day > $day - 30),
    count(*) filter (on_day > $day - 90),
    (max(on_day) - min(on_day)) / nullif(count(*) - 1, 0),
    coalesce(any_value(returned.n), 0), sum(bought.money) / count(*),
    not exists (
        from lines where lines.customer = bought.customer and not is_return
        and lines.day >= $day and lines.day < $day + $window
    )
from bought left join returned using (customer) group by customer order by customer
"""


@pytest.fixture(scope="module")
def orders() -> Iterator[duckdb.DuckDBPyConnection]:
    """`lines` with a customer: customer, day since the first order, money, whether a return."""
    path = data_file("online_retail.csv.gz")
    with duckdb.connect(config={"threads": 1}) as lake:
        lake.execute(
            "create table lines as select CustomerID::double::bigint as customer,"
            " date_diff('second', timestamp '2010-12-01', InvoiceDate::timestamp) / 86400 as day,"
            " Quantity::bigint * UnitPrice::double as money, InvoiceNo[1] = 'C' as is_return"
            " from read_csv(?, all_varchar = true) where CustomerID is not null",
            [str(path)],
        )
        yield lake


def known_at(orders: duckdb.DuckDBPyConnection, day: int) -> tuple[Matrix, np.ndarray]:
    """What was known of each customer on a day, and whether no order came in the window after."""
    rows = orders.execute(KNOWN, {"day": day, "window": WINDOW}).fetchall()
    table = np.array(rows, dtype=float)
    return Matrix(table[:, 0].astype(np.int64), NAMES, table[:, 1:-1]), table[:, -1]


@pytest.fixture(scope="module")
def folds(orders: duckdb.DuckDBPyConnection) -> list[Fold]:
    """Three cut-offs; each learns from the one a window before."""
    made = []
    for day in CUTS:
        (old, y_old), (new, y_new) = known_at(orders, day - WINDOW), known_at(orders, day)
        at = day * DAY
        made.append(
            Fold(train=old, y_train=y_old, test=new, y_test=y_new, known_until=at, as_of=at)
        )
    return made


def test_churn_of_a_real_shop_is_foretold_and_the_chances_are_near(folds: list[Fold]) -> None:
    """The last window is autumn, when gift shops sell: fewer stay away than any cut-off before
    could know, so chances are off by that (ECE about 0.1) while the ranking holds."""
    rng = np.random.default_rng(1)

    it = train(folds, a_score("auto", tries=3), rng=rng, clock=ticking())

    found = it.metrics
    assert len(folds[-1].y_test) == found["n_tested"]
    assert it.verdict().is_better, it.verdict().why
    assert 0.68 < found["values"]["auc"]["value"] < 0.85
    assert found["values"]["ece"]["value"] < 0.15
    assert found["values"]["lift_at_decile"]["value"] > 1.2
    assert found["importance"][0][0] in ("recency_days", "orders_90d", "frequency")


def test_permuted_outcomes_of_the_real_shop_are_not_promoted(folds: list[Fold]) -> None:
    rng = np.random.default_rng(2)
    dealt = [
        Fold(
            train=it.train, y_train=rng.permutation(it.y_train), test=it.test,
            y_test=rng.permutation(it.y_test), known_until=it.known_until, as_of=it.as_of,
        )
        for it in folds
    ]  # fmt: skip

    found = train(dealt, a_score("auto", tries=3), rng=rng, clock=ticking())

    assert not found.verdict().is_better
    assert "knowing nothing" in found.verdict().why
