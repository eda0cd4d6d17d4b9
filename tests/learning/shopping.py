"""A shop with habits to be learnt: who buys often, who has stopped, what goes with what."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.core.clocktime import iso
from engine.core.model.instants import DAY, HOUR, Instant
from tests.engine.publishing import FILES, Published

SETTINGS = FILES["antiphon.yaml"]
CATALOG = "id,title,url,price,category,in_stock\n" + "".join(
    f"{group}{number},{group.title()} {number},https://x.test/{group}{number},{number + 1},{group},"
    "true\n"
    for group in ("tea", "cup", "book", "lamp")
    for number in range(8)
)
MODELS = {
    "models/shoppers.yaml": "cluster: shoppers\nk: {from: 2, to: 4}\n",
    "models/churn.yaml": (
        "score: churn\ntarget: {not: {event: Order Completed, within: 30d}}\nfolds: 2\n"
        "algorithm: logistic\nbudget: 5s\n"
    ),
    "models/also-bought.yaml": (
        "recommender: also-bought\nitems: goods\nevents: {Product Viewed: 1, Order Completed: 5}\n"
        "exclude: {purchased: 10d}\nfallback: [popular, editorial]\neditorial: goods\n"
    ),
    "models/hour.yaml": "send_time: hour\nevents: [Product Viewed]\n",
}
SEGMENTS = {
    "segments/leaving.yaml": "segment: leaving\nwhen: {score: {model: churn, value: {gte: 0.5}}}\n",
}
SHOP = {**FILES, **MODELS, **SEGMENTS, "catalog/goods.csv": CATALOG}
DAYS = 240
PAIRS = {"tea": "cup", "cup": "tea", "book": "lamp", "lamp": "book"}


def histories(n: int, *, until: Instant, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Events of n people: one half buys weekly until today, the other has stopped some day.

    Everybody likes one pair of categories; whoever buys of one buys of the other, too.
    """
    rng = np.random.default_rng(seed)
    for number in range(1, n + 1):
        user = f"u{number}"
        liked = str(rng.choice(["tea", "book"]))
        hour = 8 if number % 2 else 20
        is_loyal = bool(rng.random() < 0.5)
        last = DAYS if is_loyal else int(rng.integers(30, DAYS - 10))
        day = int(rng.integers(0, 20))
        while day < last:
            at = until - (DAYS - day) * DAY + (hour - 12) * HOUR
            which = liked if rng.random() < 0.5 else PAIRS[liked]
            item = f"{which}{int(rng.integers(0, 8))}"
            price = float(rng.integers(5, 60 if is_loyal else 20))
            yield _event(user, "Product Viewed", at, product_id=item, category=which)
            yield _event(
                user, "Order Completed", at + HOUR, revenue=price,
                products=[{"product_id": item, "category": which}],
            )  # fmt: skip
            day += int(rng.integers(4, 11))


def a_shop(url: str, *, n: int = 240, files: dict[str, str] | None = None) -> Published:
    """A stage on which those histories have happened."""
    stage = Published(url)
    stage.apply(SHOP if files is None else files)
    events = list(histories(n, until=stage.now - DAY))
    for start in range(0, len(events), 400):
        stage.send(*events[start : start + 400])
    stage.now += HOUR  # What is accepted at an instant is known after it.
    stage.settle()
    return stage


def _event(user: str, name: str, at: Instant, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track", "userId": user, "event": name, "timestamp": iso(at),
        "properties": properties,
    }  # fmt: skip
