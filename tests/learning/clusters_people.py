"""People to be grouped: planted mixtures, noise, and the real shops where their files are."""

import csv
import gzip
from datetime import date

import numpy as np

from engine.learning.matrix import Matrix
from tests.experiments.data import data_file

RFM = ("recency_days", "frequency", "monetary")


def planted(
    *, n: int = 2_000, k: int = 4, d: int = 5, spread: float = 0.35, seed: int = 1
) -> tuple[Matrix, np.ndarray]:
    """k round groups of unequal size whose centres lie far apart; and the truth."""
    rng = np.random.default_rng(seed)
    centres = rng.permutation(np.array([[(i >> j) & 1 for j in range(d)] for i in range(2**d)]))
    centres = centres[:k] * 4.0 + rng.normal(0, 0.3, (k, d))
    truth = rng.choice(k, n, p=np.linspace(1, 2, k) / np.linspace(1, 2, k).sum())
    values = centres[truth] + rng.normal(0, spread, (n, d))
    return Matrix(np.arange(1, n + 1), tuple(f"f{i}" for i in range(d)), values), truth


def shoppers(*, n: int = 3_000, seed: int = 1) -> tuple[Matrix, np.ndarray]:
    """A shop's skewed RFM: one-time buyers, regulars, and whoever spends much; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=(0.6, 0.25, 0.15))
    recency = np.array([300.0, 60.0, 10.0])[truth] * rng.lognormal(0, 0.3, n)
    frequency = 1.0 + rng.poisson(np.array([0.05, 5.0, 30.0])[truth])
    monetary = frequency * np.array([20.0, 30.0, 80.0])[truth] * rng.lognormal(0, 0.3, n)
    return Matrix(np.arange(n), RFM, np.column_stack([recency, frequency, monetary])), truth


def noise(*, n: int = 2_000, d: int = 4, seed: int = 1, kind: str = "normal") -> Matrix:
    """One cloud."""
    rng = np.random.default_rng(seed)
    drawn = {
        "normal": lambda: rng.normal(size=(n, d)),
        "uniform": lambda: rng.uniform(size=(n, d)),
        "long": lambda: rng.normal(size=(n, d)) @ rng.normal(size=(d, d)),
        "skewed": lambda: rng.gamma(1.0, 100.0, size=(n, d)),
        "counts": lambda: rng.poisson(1.0, size=(n, d)).astype(float),
    }
    return Matrix(np.arange(n), tuple(f"f{i}" for i in range(d)), drawn[kind]())


def cdnow() -> Matrix:
    """2,357 new customers of 1997, of whom 59.9 % never came back."""
    bought: dict[int, list[tuple[date, float]]] = {}
    with gzip.open(data_file("cdnow_sample.txt.gz"), "rt") as lines:
        for line in lines:
            who, _, day, _, money = line.split()
            on = date(int(day[:4]), int(day[4:6]), int(day[6:]))
            bought.setdefault(int(who), []).append((on, float(money)))
    end = date(1998, 7, 1)
    rows = [
        [
            (end - max(on for on, _ in bought[who])).days,
            len({on for on, _ in bought[who]}),
            sum(money for _, money in bought[who]),
        ]
        for who in sorted(bought)
    ]
    return Matrix(np.array(sorted(bought)), RFM, np.array(rows, dtype=float))


def online_retail() -> Matrix:
    """4,372 customers of a wholesaler; net of returns, so that some owe money."""
    bought: dict[int, list[tuple[str, date, float]]] = {}
    with gzip.open(data_file("online_retail.csv.gz"), "rt") as lines:
        for row in csv.DictReader(lines):
            if row["CustomerID"]:
                on = date.fromisoformat(row["InvoiceDate"][:10])
                money = float(row["Quantity"]) * float(row["UnitPrice"])
                bought.setdefault(int(float(row["CustomerID"])), []).append(
                    (row["InvoiceNo"], on, money)
                )
    end = date(2011, 12, 10)
    rows = []
    for who in sorted(bought):
        orders = [it for it in bought[who] if not it[0].startswith("C")]
        last = max((on for _, on, _ in orders), default=None)
        rows.append(
            [
                np.nan if last is None else (end - last).days,
                len({number for number, _, _ in orders}),
                sum(money for _, _, money in bought[who]),
            ]
        )
    return Matrix(np.array(sorted(bought)), RFM, np.array(rows, dtype=float))
