"""Buyers for the tests of lifetime value: CDNOW where it is, made by the model's own story always.

CDNOW: 2,357 people who first bought in early 1997, their days of purchase until mid 1998 (Fader and
Hardie).
"""

import csv
import gzip
from datetime import UTC, datetime

import numpy as np

from engine.core.model.instants import DAY
from tests.experiments.data import data_file

Array = np.ndarray
OCTOBER = int(datetime(1997, 10, 1, tzinfo=UTC).timestamp()) * 1_000_000
"""The middle: people are known by what they did before, judged by what they did after."""
JULY = int(datetime(1998, 7, 1, tzinfo=UTC).timestamp()) * 1_000_000


def cdnow_summary() -> dict[str, Array]:
    """x, t_x, T, zbar as Fader and Hardie publish them, in weeks."""
    with gzip.open(data_file("cdnow_sample_rfm_summary.csv.gz"), "rt") as lines:
        rows = list(csv.DictReader(lines))
    return {
        name: np.array([float(row[name]) for row in rows]) for name in ("x", "t_x", "T", "zbar")
    }


def cdnow_days() -> tuple[Array, Array, Array]:
    """(ids, instants, money), a row a person and day."""
    days: dict[tuple[int, int], float] = {}
    with gzip.open(data_file("cdnow_sample.txt.gz"), "rt") as lines:
        for line in lines:
            if not line.strip():
                continue
            _, person, day, _, money = line.split()
            at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            key = (int(person), int(at.timestamp()) * 1_000_000)
            days[key] = days.get(key, 0.0) + float(money)
    keys = sorted(days)
    return (
        np.array([person for person, _ in keys]),
        np.array([at for _, at in keys]),
        np.array([days[key] for key in keys]),
    )


def made_up(
    n: int,
    *,
    seed: int,
    weeks: float = 78.0,
    r: float = 0.6,
    alpha: float = 5.0,
    a: float = 0.8,
    b: float = 2.5,
) -> tuple[Array, Array, Array]:
    """(ids, instants, money) of people who live the story that BG/NBD and Gamma-Gamma tell.

    Everybody's first day lies in the first quarter; day 0 is the first of 1997.
    """
    rng = np.random.default_rng(seed)
    ids, times, money = [], [], []
    for person in range(n):
        rate, stops = rng.gamma(r, 1 / alpha), rng.beta(a, b)
        mean = 15.0 / rng.gamma(3.7, 1 / 6.2)
        at, n_bought = rng.uniform(0, weeks / 4), 0
        while at < weeks:
            ids.append(person)
            times.append(round(at * 7 * DAY))
            money.append(rng.gamma(6.2, mean / 6.2))
            # The first purchase begins the story; only a later one can be the last.
            if n_bought and rng.random() < stops:
                break
            n_bought += 1
            at += rng.exponential(1 / rate)
    return np.array(ids), np.array(times), np.array(money)
