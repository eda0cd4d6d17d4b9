"""A bandit with contexts on seeded random units: what the simulations and their tests share.

Rates are known at every moment, so what each way of learning earned, and the truth of every
contrast, are known too. The base rate drifts for all alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Final

import numpy as np

from experiments.bandits.borrowing import beliefs_by_context
from experiments.bandits.cells import AS_RAN, Cell, always, contrast, version_weights
from experiments.bandits.learning import beliefs_from
from experiments.bandits.log import ArmSums, Batch
from experiments.bandits.policies import WHOLE, Policy, even_vector, next_vector
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import welch
from tests.experiments.bandit_runs import rising
from tests.experiments.simulation import Simulation

ARMS: Final = ("control", "b", "c")
Vectors = dict[str, tuple[int, ...]]
Learner = Callable[[Mapping[str, Sequence[Batch]], Policy, int], Vectors]
"""Cohorts by context, the policy and the update's number -> basis points by context."""


@dataclass(frozen=True)
class World:
    """What is true.

    Attributes:
        lifts: By context, what each arm adds to the rate; the first arm is the control.
        shares: Of the units, by context.
        base: The control's rate on a day, by the day's number and how many days there are.
    """

    lifts: Mapping[str, tuple[float, ...]]
    shares: Mapping[str, float]
    base: Callable[[int, int], float] = rising
    n_days: int = 20
    n_a_day: int = 500


OPPOSITE: Final = World(
    {"phone": (0.0, 0.06, -0.02), "loyal": (0.0, -0.02, 0.06), "otherwise": (0.0, 0.06, 0.0)},
    {"phone": 0.45, "loyal": 0.35, "otherwise": 0.2},
)
SAME: Final = World(
    dict.fromkeys(("phone", "loyal", "otherwise"), (0.0, 0.03, 0.06)), OPPOSITE.shares
)
NOTHING: Final = World(
    dict.fromkeys(("phone", "loyal", "otherwise"), (0.0, 0.0, 0.0)), OPPOSITE.shares
)


def plain(cohorts: Mapping[str, Sequence[Batch]], policy: Policy, update: int) -> Vectors:
    """One vector for all contexts: the bandit that does not look."""
    beliefs = beliefs_from([it for its in cohorts.values() for it in its], ARMS)
    vector = even_vector(len(ARMS)) if beliefs is None else next_vector(beliefs, policy)
    return dict.fromkeys(cohorts, vector)


def borrowing(cohorts: Mapping[str, Sequence[Batch]], policy: Policy, update: int) -> Vectors:
    """What the engine does: contexts drawn towards what they share."""
    whole, own = beliefs_by_context(cohorts, ARMS)
    if whole is None:
        return dict.fromkeys(cohorts, even_vector(len(ARMS)))
    return {name: next_vector(own.get(name, whole), policy) for name in cohorts}


def apart(cohorts: Mapping[str, Sequence[Batch]], policy: Policy, update: int) -> Vectors:
    """Each context for itself as soon as it has 30 units an arm, else the whole's vector."""
    whole = plain(cohorts, policy, update)
    own = {name: beliefs_from(its, ARMS) for name, its in cohorts.items()}
    return {
        name: whole[name] if found is None else next_vector(found, policy)
        for name, found in own.items()
    }


LEARNERS: Final[dict[str, Learner]] = {"plain": plain, "borrowing": borrowing, "apart": apart}


@dataclass(frozen=True)
class Run:
    """One played bandit.

    Attributes:
        earned: Expected lift over the control per unit, of the chances that were used.
        gained: By day and context, what its chances add to the control's rate: the truth of what
            ran, whatever weights a reading gives to days.
    """

    cells: list[Cell]
    earned: float
    gained: dict[tuple[int, str], float]


def run(world: World, policy: Policy, learner: Learner, *, rng: np.random.Generator) -> Run:
    """Play a bandit that learns at the end of every day."""
    names = list(world.lifts)
    cohorts: dict[str, list[Batch]] = {name: [] for name in names}
    vectors: Vectors = dict.fromkeys(names, even_vector(len(ARMS)))
    cells: list[Cell] = []
    gained: dict[tuple[int, str], float] = {}
    earned = 0.0
    for day in range(world.n_days):
        if day:
            vectors = learner(cohorts, policy, day)
        base = world.base(day, world.n_days)
        counts = rng.multinomial(world.n_a_day, [world.shares[name] for name in names])
        for name, n in zip(names, counts, strict=True):
            vector = [it / WHOLE for it in vectors[name]]
            sums = {}
            for arm, units, lift in zip(
                ARMS, rng.multinomial(n, vector), world.lifts[name], strict=True
            ):
                share = rng.binomial(units, base + lift) / units if units else 0.0
                sums[arm] = ArmSums(int(units), share, units * share * (1 - share))
            batch = Batch(day + 1, day, dict(zip(ARMS, vector, strict=True)), sums)
            cohorts[name].append(batch)
            cells.append(Cell(name, batch))
            gain = sum(e * it for e, it in zip(vector, world.lifts[name], strict=True))
            gained[day, name] = gain
            earned += n * gain
    return Run(cells, earned / (world.n_days * world.n_a_day), gained)


def earnings(
    world: World, *, n_runs: int, seed: int, policy: Policy | None = None
) -> dict[str, tuple[float, float]]:
    """(mean, standard error) of what each way of learning earned per unit over the control."""
    found: dict[str, list[float]] = {name: [] for name in LEARNERS}
    for number in range(n_runs):
        for name, learner in LEARNERS.items():
            rng = np.random.default_rng([seed, number])
            found[name].append(run(world, policy or Policy(), learner, rng=rng).earned)
    return {
        name: (float(np.mean(its)), float(np.std(its, ddof=1) / sqrt(n_runs)))
        for name, its in found.items()
    }


RIGHT: Final = {
    "phone": {"b": 1.0}, "loyal": {"c": 1.0}, "otherwise": {"b": 1.0},
}  # fmt: skip
READINGS: Final = ("right against control", "b against control", "as ran against control",
                   "b against control among the loyal")  # fmt: skip


def readings(world: World, played: Run) -> dict[str, tuple[Estimates, float]]:
    """Each reading with the truth of what it reads."""
    cells, lifts, shares = played.cells, world.lifts, world.shares
    control, b = always("control", cells), always("b", cells)
    learnt = [it for it in cells if it.batch.version > 1]
    weights = version_weights(learnt, AS_RAN, against=control)
    due = [weights[it.batch.version] * it.batch.n for it in learnt]
    gains = [played.gained[it.batch.period, it.context] for it in learnt]
    loyal = [it for it in cells if it.context == "loyal"]
    best = {"phone": lifts["phone"][1], "loyal": lifts["loyal"][2],
            "otherwise": lifts["otherwise"][1]}  # fmt: skip
    return {
        READINGS[0]: (contrast(cells, RIGHT, against=control),
                      sum(shares[it] * best[it] for it in shares)),
        READINGS[1]: (contrast(cells, b, against=control),
                      sum(shares[it] * lifts[it][1] for it in shares)),
        READINGS[2]: (contrast(learnt, AS_RAN, against=control),
                      sum(d * g for d, g in zip(due, gains, strict=True)) / sum(due)),
        READINGS[3]: (contrast(loyal, b, against=control), lifts["loyal"][1]),
    }  # fmt: skip


def covered(rng: np.random.Generator, n_runs: int, *, reading: str, world: World) -> float:
    """Share of runs whose nominal 95 % interval of one reading held the truth."""
    n_held = 0
    for _ in range(n_runs):
        played = run(world, Policy(), borrowing, rng=rng)
        it, truth = readings(world, played)[reading]
        reach = welch(it, alpha=0.05).critical * sqrt(it.difference_variance)
        n_held += abs(it.treatment - it.control - truth) <= reach
    return n_held / n_runs


SIMULATIONS: Final = tuple(
    Simulation(
        "contexts",
        f"Thompson by context, base rate 5 % to 30 %, {said}: 95 % intervals, {name}",
        0.92,
        1.0,
        60,
        partial(covered, reading=name, world=world),
    )
    for said, world in (("opposite best arms", OPPOSITE), ("no effect", NOTHING))
    for name in READINGS
)
