"""Randomised units of the shape of the e-mail experiment of 2008, real ones and seeded ones."""

import csv
import gzip
from dataclasses import dataclass

import numpy as np
from scipy import special

from experiments.uplift.units import Units
from tests.experiments.data import data_file

HILLSTROM_FEATURES = (
    "recency", "log history", "mens", "womens", "both", "rural", "urban", "newbie", "web", "phone",
)  # fmt: skip


def hillstrom_units(segment: str) -> Units:
    """Those mailed and those not, with what was known of them before; outcome: a visit."""
    with gzip.open(data_file("hillstrom.csv.gz"), "rt") as lines:
        rows = [it for it in csv.DictReader(lines) if it["segment"] in (segment, "No E-Mail")]
    mens, womens, newbie, recency, history, visit = (
        np.array([float(it[name]) for it in rows])
        for name in ("mens", "womens", "newbie", "recency", "history", "visit")
    )
    zone = np.array([it["zip_code"] for it in rows])
    channel = np.array([it["channel"] for it in rows])
    features = np.column_stack(
        [recency, np.log(history), mens, womens, mens * womens, zone == "Rural", zone == "Urban",
         newbie, channel == "Web", channel == "Phone"]
    )  # fmt: skip
    return Units.of(features, np.array([it["segment"] == segment for it in rows]), visit, 0.5)


@dataclass(frozen=True)
class Planted:
    """Units whose true effects are known."""

    units: Units
    effects: np.ndarray


def planted(
    *,
    seed: int,
    n: int = 12_000,
    differing: float = 1.0,
    average: float = 0.04,
    has_gaps: bool = False,
    varying: bool = False,
) -> Planted:
    """Visits that past behaviour explains in part; the effect follows the second feature.

    Args:
        differing: How much effects differ between people; 0 plants one effect for all.
        varying: Whether the chance of being treated follows the first feature, which also drives
            the outcome: then only the logged chance keeps the arms comparable.
    """
    rng = np.random.default_rng(seed)
    features = np.column_stack(
        [rng.normal(0, 1, n), rng.random(n) < 0.5, rng.gamma(2.0, 1.0, n), rng.normal(0, 1, n)]
    ).astype(float)
    chance = special.expit(features[:, 0] * 0.8) * 0.6 + 0.2 if varying else np.full(n, 0.5)
    treated = rng.random(n) < chance
    base = special.expit(-2.0 + 0.7 * features[:, 0] + 0.2 * features[:, 2])
    effects = average + differing * 0.05 * (2 * features[:, 1] - 1)
    outcome = (rng.random(n) < np.clip(base + treated * effects, 0, 1)).astype(float)
    if has_gaps:
        features[rng.random(n) < 0.2, 2] = np.nan
    return Planted(Units.of(features, treated, outcome, chance), effects)
