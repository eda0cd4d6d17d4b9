"""A bandit on seeded random units, cohort by cohort: what the simulations and their tests share.

Arms differ by a fixed amount; the base rate drifts for all of them alike, so the true effect is
known at every moment while plain averages follow the days on which an arm was used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Final

import numpy as np

from experiments.bandits.batched import batched_estimates
from experiments.bandits.learning import learnt_vector
from experiments.bandits.log import ArmSums, Batch
from experiments.bandits.policies import WHOLE, Policy, even_vector
from experiments.bandits.weighted import weighted_estimates
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import welch
from tests.experiments.simulation import Simulation

Rates = tuple[float, ...]


@dataclass(frozen=True)
class World:
    """What is true.

    Attributes:
        lifts: What each arm adds to the rate; the first arm is the control.
        base: The control's rate on a day, given the day's number and how many days there are.
    """

    lifts: Rates
    base: Callable[[int, int], float]
    n_days: int = 20
    n_a_day: int = 500


def rising(day: int, n_days: int) -> float:
    """From 5 % to 30 % over the time of the bandit: a launch, a season, a viral week."""
    return 0.05 + 0.25 * day / max(n_days - 1, 1)


def steady(day: int, n_days: int) -> float:
    return 0.10


ARMS: Final = ("control", "b", "c")
DRIFTING: Final = World((0.0, 0.03, 0.06), rising)
UNCHANGED: Final = World((0.0, 0.0, 0.0), rising)
HONEST: Final = ("adaptively weighted", "batched, epoch-weighted", "batched, stationary")


def run(world: World, policy: Policy, *, rng: np.random.Generator) -> list[Batch]:
    """Play a bandit that learns at the end of every day; give its cohorts."""
    arms = ARMS[: len(world.lifts)]
    vector = even_vector(len(arms))
    cohorts: list[Batch] = []
    for day in range(world.n_days):
        if day:
            vector = learnt_vector(cohorts, arms, policy, update=day)
        base = world.base(day, world.n_days)
        counts = rng.multinomial(world.n_a_day, [it / WHOLE for it in vector])
        sums = {}
        for arm, n, lift in zip(arms, counts, world.lifts, strict=True):
            share = rng.binomial(n, base + lift) / n if n else 0.0
            sums[arm] = ArmSums(int(n), share, n * share * (1 - share))
        chances = {arm: it / WHOLE for arm, it in zip(arms, vector, strict=True)}
        cohorts.append(Batch(day + 1, day, chances, sums))
    return cohorts


def pooled(cohorts: list[Batch], *, control: str, treatment: str) -> Estimates:
    """The mistake: plain averages, as if the arms had been used on the same days.

    It stands in the tests only, to show what it does; the library has no such function.
    """
    sums = {}
    for arm in (control, treatment):
        whole = ArmSums(0)
        for it in cohorts:
            whole = whole.merge(it.of(arm))
        sums[arm] = whole
    c, t = sums[control], sums[treatment]
    variances = [it.moment / (it.n - 1) / it.n for it in (c, t)]
    return Estimates(
        c.mean, t.mean, *variances, 0.0, sum(variances), c.n, t.n, float(c.n + t.n - 2)
    )  # fmt: skip


READINGS: Final[dict[str, Callable[[list[Batch], str], Estimates]]] = {
    "adaptively weighted": lambda its, arm: weighted_estimates(
        its, control="control", treatment=arm
    ),
    "batched, epoch-weighted": lambda its, arm: batched_estimates(
        its, control="control", treatment=arm
    ),
    "batched, stationary": lambda its, arm: batched_estimates(
        its, control="control", treatment=arm, is_stationary=True
    ),
    "pooled (refused)": lambda its, arm: pooled(its, control="control", treatment=arm),
}


@dataclass(frozen=True)
class Reading:
    """How one way of reading did over many runs.

    Attributes:
        coverage: Share of nominal 95 % intervals that held the truth.
        bias: Mean estimate minus the truth, in units of the outcome.
        standard_error: Of `bias`.
    """

    coverage: float
    bias: float
    standard_error: float


def coverages(
    world: World,
    policy: Policy,
    *,
    arm: str,
    n_runs: int,
    rng: np.random.Generator,
    names: Sequence[str] = tuple(READINGS),
) -> dict[str, Reading]:
    """Some ways of reading the same runs, for one arm against the control."""
    truth = world.lifts[ARMS.index(arm)]
    held: dict[str, list[bool]] = {name: [] for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(n_runs):
        cohorts = run(world, policy, rng=rng)
        for name in names:
            it = READINGS[name](cohorts, arm)
            error = it.treatment - it.control - truth
            critical = welch(it, alpha=0.05).critical
            held[name].append(abs(error) <= critical * sqrt(it.difference_variance))
            found[name].append(error)
    return {
        name: Reading(
            float(np.mean(held[name])),
            float(np.mean(found[name])),
            float(np.std(found[name], ddof=1) / sqrt(n_runs)),
        )
        for name in names
    }


def covered(
    rng: np.random.Generator, n_runs: int, *, reading: str, world: World, policy: Policy
) -> float:
    """Share of runs whose nominal 95 % interval of the last arm's effect held the truth."""
    return coverages(world, policy, arm="c", n_runs=n_runs, rng=rng, names=(reading,))[
        reading
    ].coverage


def found_best(rng: np.random.Generator, n_runs: int, *, policy: Policy) -> float:
    """Share of runs in which the best arm had most of the traffic in the end."""
    n_found = 0
    for _ in range(n_runs):
        last = run(DRIFTING, policy, rng=rng)[-1].probabilities
        n_found += max(last, key=last.__getitem__) == "c"
    return n_found / n_runs


def _simulation(what: str, reading: str, world: World, policy: Policy) -> Simulation:
    share = partial(covered, reading=reading, world=world, policy=policy)
    is_shortcut = reading not in HONEST
    lowest, highest = (0.0, 0.7) if is_shortcut else (0.92, 1.0)
    said = f"{what}: 95 % intervals, {reading}"
    return Simulation("bandits", said, lowest, highest, 80, share, is_shortcut=is_shortcut)


_DRIFT: Final = "Thompson, base rate 5 % to 30 %, effect 6 points"
SIMULATIONS: Final = (
    *(_simulation(_DRIFT, name, DRIFTING, Policy()) for name in READINGS),
    _simulation(_DRIFT.replace("Thompson", "top-two"), HONEST[0], DRIFTING, Policy("top_two")),
    _simulation("Thompson, base rate 5 % to 30 %, no effect", HONEST[0], UNCHANGED, Policy()),
    _simulation("Thompson, base rate 5 % to 30 %, no effect", HONEST[2], UNCHANGED, Policy()),
    Simulation(
        "bandits", "Thompson, 10,000 units, effects 3 and 6 points: the best arm leads", 0.85, 1.0,
        80, partial(found_best, policy=Policy()),
    ),
)  # fmt: skip
