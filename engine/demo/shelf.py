"""What lay in each basket: lines of the shop's own catalog, read from the real receipts.

The receipts name products by types such as `FLUID MILK WHITE ONLY`. The example shop's catalog
gives a title and a category to those that many households buy; the rest of a basket is paid for
and not listed.
"""

import csv
from pathlib import Path
from typing import Final

import msgspec

FEED: Final = Path("catalog") / "products.csv"
LINES_MAX: Final = 12
"""Products listed of one order, those with the most money in them: a list to read, no receipt."""

_SQL: Final = """
WITH lines AS (
    SELECT basket_id, s.place, sum(sales_value) AS spent, sum(quantity) AS n
    FROM read_parquet($transactions) AS t
    JOIN read_parquet($products) AS p USING (product_id)
    JOIN (SELECT unnest($types) AS product_type, unnest($places) AS place) AS s
        USING (product_type)
    WHERE hash(household_id) % $parts < $taken
    GROUP BY basket_id, s.place
)
SELECT basket_id, list(place ORDER BY spent DESC, place)[:$most],
    list(round(spent / greatest(n, 1), 2) ORDER BY spent DESC, place)[:$most]
FROM lines GROUP BY basket_id
"""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One product of an order, as the order's event has it; `price` of one piece, in dollars."""

    product_id: str
    title: str
    category: str
    price: float


def read_lines(
    shop: Path, *, transactions: Path, products: Path, parts: int, taken: int
) -> dict[int, tuple[Line, ...]]:
    """The lines of each basket that has a product of the catalog, the dearest first.

    Args:
        shop: The workspace whose `catalog/products.csv` it is; its column `type` names the
            receipts' word.
        parts, taken: Households are chosen by the hash of their number: so many parts of all.
    """
    import duckdb

    with (shop / FEED).open(encoding="utf-8", newline="") as file:
        shelf = [(row["type"], row["id"], row["title"], row["category"])
                 for row in csv.DictReader(file)]  # fmt: skip
    with duckdb.connect() as lake:
        lake.execute("SET threads = 2")
        rows = lake.execute(
            _SQL,
            {
                "transactions": str(transactions), "products": str(products),
                "types": [row[0] for row in shelf], "places": list(range(len(shelf))),
                "parts": parts, "taken": taken, "most": LINES_MAX,
            },
        ).fetchall()  # fmt: skip
    return {
        basket: tuple(
            _line(shelf[place], price) for place, price in zip(places, prices, strict=True)
        )
        for basket, places, prices in rows
    }


def _line(row: tuple[str, str, str, str], price: float) -> Line:
    _, product_id, title, category = row
    return Line(product_id, title, category, price)
