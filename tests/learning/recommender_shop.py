"""A small shop with planted tastes: people of a taste buy items of it, mostly."""

import csv
import gzip
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from campaigns.models import Rating, RecommenderModel
from engine.core.model.instants import DAY
from engine.learning.recommenders.splitting import Part
from tests.experiments.data import data_file

NOW = 1_700_000_000_000_000
TASTES = ("tea", "tools", "toys")
PER_TASTE = 8

Rows = dict[str, dict[str, Any]]


def interactions(rows: Iterable[Sequence[Any]]) -> Part:
    """(user, item, weight, days ago) as interactions."""
    told = list(rows)
    return Part(
        np.asarray([it[0] for it in told], dtype=np.int64),
        np.asarray([it[1] for it in told], dtype=object),
        np.asarray([it[2] for it in told], dtype=np.float64),
        np.asarray([NOW - int(it[3] * DAY) for it in told], dtype=np.int64),
    )


def catalog() -> Rows:
    """Twenty-four items, eight of a taste; nothing is out of stock."""
    return {
        f"{taste}-{number}": {
            "title": f"{taste} number {number}", "category": taste, "price": 5.0 + number,
            "in_stock": True,
        }
        for taste in TASTES
        for number in range(PER_TASTE)
    }  # fmt: skip


def purchases(
    *, seed: int = 1, people: int = 60, each: int = 5, stray: float = 0.1, but: int = 0
) -> Part:
    """What people bought in the last hundred days; person p is of taste p mod 3.

    `but` never came: all others did the same.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(1, people + 1):
        for _ in range(each):
            strays = rng.random() < stray
            taste = TASTES[rng.integers(3)] if strays else TASTES[person % 3]
            # The first items of a taste are the ones everybody knows.
            number = min(int(rng.geometric(0.25)) - 1, PER_TASTE - 1)
            rows.append((person, f"{taste}-{number}", 5.0, rng.uniform(0, 100)))
    return interactions(it for it in rows if it[0] != but)


def stars_given(*, seed: int = 1, people: int = 60, each: int = 8, but: int = 0) -> Part:
    """Stars: high for the own taste, low for the others."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(1, people + 1):
        for item in rng.choice(24, size=each, replace=False).tolist():
            taste, number = TASTES[item % 3], item // 3
            mean = 4.4 if taste == TASTES[person % 3] else 2.2
            value = float(np.clip(np.round(2 * rng.normal(mean, 0.5)) / 2, 1, 5))
            rows.append((person, f"{taste}-{number}", value, rng.uniform(0, 100)))
    return interactions(it for it in rows if it[0] != but)


def a_model(**changes: Any) -> RecommenderModel:
    """`also-bought`, as a file with no more than its name would say."""
    return RecommenderModel(name="also-bought", **changes)


STARS = Rating(event="Rated", value="properties.stars")


def movielens() -> Part:
    """The ratings of ml-latest-small in the order of the file, or skip."""
    with gzip.open(data_file("ml-latest-small-ratings.csv.gz"), "rt") as lines:
        rows = list(csv.DictReader(lines))
    return Part(
        np.asarray([int(it["userId"]) for it in rows]),
        np.asarray([it["movieId"] for it in rows], dtype=object),
        np.asarray([float(it["rating"]) for it in rows]),
        np.asarray([int(it["timestamp"]) * 1_000_000 for it in rows]),
    )


def online_retail() -> tuple[Part, Rows]:
    """Lines bought in the gift shop by known customers, and its products, or skip."""
    users, items, times = [], [], []
    rows: Rows = {}
    with gzip.open(data_file("online_retail.csv.gz"), "rt") as lines:
        for it in csv.DictReader(lines):
            if it["CustomerID"] and not it["InvoiceNo"].startswith("C"):
                users.append(int(float(it["CustomerID"])))
                items.append(it["StockCode"])
                times.append(it["InvoiceDate"])
                rows[it["StockCode"]] = {"title": it["Description"]}
    instants = np.asarray([np.datetime64(it.replace(" ", "T")) for it in times])
    return Part(
        np.asarray(users),
        np.asarray(items, dtype=object),
        np.full(len(users), 5.0),
        instants.astype("datetime64[us]").astype(np.int64),
    ), rows
