"""A real year of a gift shop's invoices, and a generated one of the same shape, through the store.

The figures of the real one are those published beside the file (UCI Online Retail).
"""

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pytest

from engine.core.model.instants import DAY
from engine.store.database import Database
from tests.experiments.data import data_file
from tests.learning.logged import Log, event


class Invoice(NamedTuple):
    profile: int
    at: int
    value: float
    is_cancelled: bool


def real() -> list[Invoice]:
    """A profile a customer; who gave no number is somebody new on every invoice."""
    values: dict[str, list[float]] = defaultdict(list)
    heads: dict[str, tuple[str, str]] = {}
    with gzip.open(
        data_file("online_retail.csv.gz"), "rt", encoding="utf-8", errors="replace"
    ) as f:
        for row in csv.DictReader(f):
            number = row["InvoiceNo"]
            values[number].append(int(row["Quantity"]) * float(row["UnitPrice"]))
            heads[number] = (row["CustomerID"], row["InvoiceDate"])
    found = []
    for place, (number, (customer, date)) in enumerate(heads.items()):
        profile = int(float(customer)) if customer else 1_000_000 + place
        at = round(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() * 1e6)
        found.append(Invoice(profile, at, math.fsum(values[number]), number.startswith("C")))
    return found


def generated() -> list[Invoice]:
    rng = np.random.default_rng(4)
    begin = round(datetime(2010, 12, 1, tzinfo=UTC).timestamp() * 1e6)
    return [
        Invoice(
            int(rng.zipf(1.5)) % 400 + 1,
            begin + int(rng.integers(0, 373 * 24 * 60)) * 60_000_000,
            float(np.round(rng.gamma(1.2, 300), 2)) * (-1 if is_cancelled else 1),
            bool(is_cancelled),
        )
        for is_cancelled in rng.random(3_000) < 0.15
    ]


def written(log: Log, invoices: list[Invoice]) -> None:
    first: dict[int, int] = {}
    for it in invoices:
        first[it.profile] = min(it.at, first.get(it.profile, it.at))
    log.met(first)
    log.happened(
        *(
            event(
                it.profile,
                "Order Refunded" if it.is_cancelled else "Order Completed",
                it.at,
                {"revenue": -it.value if it.is_cancelled else it.value},
            )
            for it in sorted(invoices, key=lambda it: it.at)
        )
    )


@pytest.mark.parametrize("shop", [generated, real])
def test_a_year_of_invoices_is_what_its_books_say(
    sqlite_database: Database, shop: Callable[[], list[Invoice]]
) -> None:
    log = Log(sqlite_database)
    invoices = shop()
    written(log, invoices)
    end = max(it.at for it in invoices) + 1

    table = log.features(end, ["recency", "frequency", "monetary"], zone="UTC")
    with log.history(end) as history:
        orders = history.purchases(zone="UTC")

    paid: dict[int, list[float]] = defaultdict(list)
    bought: dict[int, list[int]] = defaultdict(list)
    for it in invoices:
        paid[it.profile].append(it.value)
        if not it.is_cancelled and it.value >= 0:
            bought[it.profile].append(it.at)
    people = sorted(paid)
    assert table.ids.tolist() == people
    # Money is kept in millionths, so an invoice may be off by half of one.
    assert table.numbers["monetary"] == pytest.approx(
        [math.fsum(paid[it]) for it in people], abs=1e-3
    )
    days = [len({at // DAY for at in bought[it]}) for it in people]
    assert table.numbers["frequency"].tolist() == days
    assert table.numbers["recency_days"] == pytest.approx(
        [(end - max(bought[it])) / DAY if bought[it] else math.nan for it in people], nan_ok=True
    )
    assert len(orders.ids) == sum(days)
    if shop is real:
        assert len(invoices) == 25_900
        assert sum(it < 1_000_000 for it in people) == 4_372
        assert table.numbers["monetary"].sum() == pytest.approx(9_747_747.934, abs=0.01)


@pytest.mark.parametrize("shop", [generated, real])
def test_a_half_told_year_is_as_it_was_at_its_half(
    sqlite_database: Database, shop: Callable[[], list[Invoice]]
) -> None:
    log = Log(sqlite_database)
    invoices = sorted(shop(), key=lambda it: it.at)
    half = invoices[len(invoices) // 2].at
    written(log, [it for it in invoices if it.at < half])
    before = log.features(half, zone="Europe/London").digest()

    known = {it.profile for it in invoices if it.at < half}
    later = [it for it in invoices if it.at >= half]
    log.met({it.profile: it.at for it in reversed(later) if it.profile not in known})
    log.happened(*(event(it.profile, "Order Completed", it.at) for it in later))

    assert log.features(half, zone="Europe/London").digest() == before
    assert log.features(half + 90 * DAY, zone="Europe/London").digest() != before
