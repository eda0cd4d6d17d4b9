"""Readouts that carry everything a report can show, from a seeded shop: for tests of the faces."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from experiments.analysis.analyze import analyze
from experiments.analysis.collected import RECEIVED, Collected
from experiments.analysis.plan import ExperimentPlan, frozen
from experiments.evidence.equivalence import Margin
from experiments.metrics import Metric
from experiments.sums.aggregates import Aggregates, merged
from experiments.sums.unit_sums import Cap, Excluded

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAYS = 28

METRICS = (
    Metric(name="revenue-7d", title="revenue within 7 days", unit="EUR", covariates=("past",)),
    Metric(name="orders", kind="proportion", title="an order within 7 days", role="secondary"),
    Metric(name="unsubscribed", kind="proportion", title="unsubscribed within 7 days",
           role="guardrail", better="lower"),
)  # fmt: skip


def a_plan(**changes):
    values = {
        "name": "cart-nudge",
        "control": "control",
        "weights": {"control": 1, "reminder": 1, "discount": 1},
        "metrics": METRICS,
        "planned_sample": 18_000,
        "smallest_lift": 0.02,
        "ends_at": START + timedelta(days=DAYS),
        "margins": {"unsubscribed": Margin(0.5, relative=True)},
        "dimensions": ("country",),
        **changes,
    }
    return ExperimentPlan(**values)


def an_arm(rng, n, *, lift, leaves):
    past = rng.gamma(2.0, 20.0, n)
    orders = (rng.random(n) < 0.3 * (1 + lift)).astype(float)
    revenue = orders * (past * 0.5 + rng.normal(30, 8, n))
    return {
        "revenue-7d": revenue,
        "past": past,
        "orders": orders,
        "unsubscribed": (rng.random(n) < leaves).astype(float),
        RECEIVED: (rng.random(n) < (0.8 if lift else 0.0)).astype(float),
        "country": rng.choice(["DE", "FR", "NL"], n),
    }


COLUMNS = ("revenue-7d", "past", "orders", "unsubscribed")


def summed(rows, columns=COLUMNS):
    return Aggregates.from_columns({name: rows[name].tolist() for name in columns})


def a_collection(*, per_day=200, lifts=(0.0, 0.14, 0.02), seed=11):
    """(aggregates per variant, Collected) of four weeks of a shop."""
    rng = np.random.default_rng(seed)
    names = ("control", "reminder", "discount")
    leaves = (0.010, 0.011, 0.012)
    days, everything = {}, {name: [] for name in names}
    for day in range(DAYS):
        key = (START + timedelta(days=day)).date().isoformat()
        days[key] = {}
        for name, lift, leave in zip(names, lifts, leaves, strict=True):
            rows = an_arm(rng, int(per_day + rng.integers(-6, 7)), lift=lift, leaves=leave)
            everything[name].append(rows)
            days[key][name] = summed(rows)
    whole = {
        name: {column: np.concatenate([rows[column] for rows in parts]) for column in parts[0]}
        for name, parts in everything.items()
    }
    countries = {
        level: {
            name: summed({c: rows[c][rows["country"] == level] for c in COLUMNS})
            for name, rows in whole.items()
        }
        for level in ("DE", "FR", "NL")
    }
    ages = {
        name: Aggregates.from_columns(
            {f"day {i}": (rows["revenue-7d"] * share * rng.random(len(rows["past"]))).tolist()
             for i, share in enumerate((0.4, 0.3, 0.2, 0.1))}
        )
        for name, rows in whole.items()
    }  # fmt: skip
    collected = Collected(
        as_of=START + timedelta(days=DAYS + 8),
        window=timedelta(days=7),
        days=days,
        populations={
            "exposed on": {
                key: {name: part.n for name, part in arms.items()} for key, arms in days.items()
            }
        },
        dimensions={"country": countries},
        ages=ages,
        age_days={f"day {i}": i + 0.5 for i in range(4)},
        received={
            name: summed(rows, (*COLUMNS, RECEIVED)) for name, rows in whole.items()
        },
        excluded=(
            Excluded("have two profiles under different variants", "units", 31, 16_900,
                     {"control": 12, "reminder": 10, "discount": 9}),
            Excluded("wait for their 7 days to be over", "units", 1_204, 16_900,
                     {"control": 398, "reminder": 404, "discount": 402}),
        ),
        n_unreadable=3,
        caps=(Cap("revenue-7d", "revenue-7d", "revenue-7d capped at p99", 214.5, 0.99,
                  {"control": 52, "reminder": 61, "discount": 55}),),
        units_per_day=3 * per_day,
        snapshot="9f2c1e0b7a5544d0" * 4,
        engine_version="0.4.0",
    )  # fmt: skip
    return {name: merged(arms[name] for arms in days.values()) for name in names}, collected


def a_full_readout(*, seed=11, lifts=(0.0, 0.14, 0.02), plan=None, **changes):
    """Everything at once: days, segments, guardrails, compliers, age, exclusions, plan, changes."""
    plan = plan or a_plan()
    aggregates, collected = a_collection(lifts=lifts, seed=seed)
    kept = frozen(replace(plan, alpha=0.04))
    collected = replace(collected, kept_plan=kept, **changes)
    return analyze(plan, aggregates, notes=("Everyone exposed counts as assigned.",),
                   collected=collected)  # fmt: skip
