"""Where tests find numbers: seeded generators that always run, real files where present.

The real files lie outside the repository: in the folder named by ANTIPHON_TEST_DATA, or in
`shared/data` beside the checkout.
"""

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.sums.aggregates import Aggregates

Columns = dict[str, np.ndarray]


def data_file(name: str) -> Path:
    """A real file, or skip."""
    folder = os.environ.get("ANTIPHON_TEST_DATA")
    root = Path(folder) if folder else Path(__file__).parents[3] / "shared" / "data"
    path = root / name
    if not path.is_file():
        pytest.skip(f"real data {name} is not here; set ANTIPHON_TEST_DATA to its folder")
    return path


def hillstrom() -> dict[str, Columns]:
    """The e-mail experiment of 2008, per variant: visit, spend, history."""
    with gzip.open(data_file("hillstrom.csv.gz"), "rt") as lines:
        rows = list(csv.DictReader(lines))
    return {
        variant: {
            column: np.array([float(r[column]) for r in rows if r["segment"] == variant])
            for column in ("visit", "spend", "history")
        }
        for variant in ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
    }


def a_shop(*, seed: int = 1, n: int = 1_000, lift: float = 0.1) -> dict[str, Columns]:
    """The same shape, generated: sparse skewed spend that past spend explains in part."""
    rng = np.random.default_rng(seed)
    arms: dict[str, Columns] = {}
    for variant, size, factor in (("control", n, 1.0), ("treatment", n + n // 7, 1 + lift)):
        history = rng.gamma(2.0, 120.0, size)
        visit = (rng.random(size) < 0.3 + history / 2_000).astype(float)
        spend = visit * rng.gamma(1.5, 10.0 + history / 10, size) * factor
        arms[variant] = {
            "visit": visit,
            "spend": spend,
            "history": history,
            "orders": 1 + rng.poisson(1 + visit),
        }
    return arms


def aggregates(arms: dict[str, Columns]) -> dict[str, Aggregates]:
    """Aggregates per variant."""
    return {name: Aggregates.from_columns(columns) for name, columns in arms.items()}


def growthbook_cases(section: str) -> list[Any]:
    """A section of the public GrowthBook conformance cases, or skip."""
    cases = json.loads(data_file("growthbook_cases.json").read_text())
    return list(cases[section])
