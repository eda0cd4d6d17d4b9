"""A contextual bandit on seeded units, version by version: what simulations and tests share.

Which arm is best depends on the context, and the base rate drifts for all arms alike; so the true
gain of a fixed policy over another one is known at every moment.
"""

from dataclasses import dataclass
from functools import partial
from math import inf, sqrt
from typing import Final

import numpy as np

from experiments.bandits.contextual import (
    LinearPolicy,
    LinearSums,
    Version,
    drawn_arms,
    learnt_version,
)
from experiments.bandits.contextual_inference import policy_contrast
from experiments.bandits.contextual_log import ContextualLog
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import welch
from tests.experiments.bandit_runs import Reading
from tests.experiments.simulation import Simulation

N_ARMS: Final = 3


@dataclass(frozen=True)
class ContextualWorld:
    """What is true: arm k adds effects[k] . (1, x1, x2) to a base rate that may rise.

    Contexts are x1 in {-1, 1} and x2 uniform in [-1, 1].
    """

    effects: tuple[tuple[float, float, float], ...]
    first: float = 0.15
    last: float = 0.45
    n_versions: int = 10
    n_each: int = 300

    def added(self, contexts: np.ndarray) -> np.ndarray:
        """What each arm adds for each context, shape (n, K)."""
        x = np.column_stack([np.ones(len(contexts)), contexts])
        return x @ np.array(self.effects).T


DRIFTING: Final = ContextualWorld(((0.0, 0.0, 0.0), (0.04, 0.08, 0.0), (0.04, -0.08, 0.03)))
UNCHANGED: Final = ContextualWorld(((0.0, 0.0, 0.0),) * N_ARMS)


def contexts_of(n: int, *, rng: np.random.Generator) -> np.ndarray:
    return np.column_stack([rng.choice((-1.0, 1.0), n), rng.uniform(-1, 1, n)])


def play(
    world: ContextualWorld, policy: LinearPolicy, *, rng: np.random.Generator
) -> ContextualLog:
    """A bandit that learns after every version; its log."""
    sums = LinearSums.empty(n_arms=N_ARMS, n_features=2)
    versions: list[Version] = []
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for place in range(world.n_versions):
        version = learnt_version(sums, policy, rng=rng)
        versions.append(version)
        x = contexts_of(world.n_each, rng=rng)
        chances = version.chances(x)
        chosen = drawn_arms(chances, rng.random(len(x)))
        base = world.first + (world.last - world.first) * place / (world.n_versions - 1)
        rate = base + world.added(x)[np.arange(len(x)), chosen]
        outcomes = (rng.random(len(x)) < rate).astype(float)
        sums = sums.add(x, chosen, outcomes)
        for column, part in zip(
            columns, (x, chosen, outcomes, chances, np.full(len(x), place)), strict=True
        ):
            column.append(part)
    whole = [np.concatenate(column) for column in columns]
    return ContextualLog.of(
        contexts=whole[0], chosen=whole[1], outcomes=whole[2], chances=whole[3], version=whole[4],
        versions=versions,
    )  # fmt: skip


def by_sign(contexts: np.ndarray) -> np.ndarray:
    """The policy that is read: arm 1 where x1 > 0, else arm 2."""
    return np.eye(N_ARMS)[np.where(contexts[:, 0] > 0, 1, 2)]


CONTROL: Final = np.eye(N_ARMS)[0]


def truth(world: ContextualWorld) -> float:
    """What `by_sign` gains over arm 0, on average over contexts; x2 has mean 0."""
    effects = np.array(world.effects)
    plus, minus = effects[1] @ (1, 1, 0), effects[2] @ (1, -1, 0)
    return float((plus + minus) / 2 - effects[0, 0])


def pooled(log: ContextualLog) -> Estimates:
    """The mistake: those who happened to get what the policy says, beside those who got arm 0."""
    wanted = by_sign(log.contexts)[np.arange(log.n), log.chosen] > 0
    arms = log.outcomes[log.chosen == 0], log.outcomes[wanted]
    variances = [float(it.var(ddof=1)) / len(it) for it in arms]
    return Estimates(
        float(arms[0].mean()), float(arms[1].mean()), *variances, 0.0, sum(variances),
        len(arms[0]), len(arms[1]), inf,
    )  # fmt: skip


def inverse_propensity(log: ContextualLog) -> Estimates:
    """The plain inverse propensity mean, without guesses or weights."""
    own = np.arange(log.n), log.chosen
    apart = (by_sign(log.contexts) - CONTROL)[own] / log.chances[own] * log.outcomes
    variance = float(apart.var(ddof=1)) / log.n
    return Estimates(0.0, float(apart.mean()), 0.0, variance, 0.0, variance, log.n, log.n, inf)


HONEST: Final = ("stable", "minimum", "contextual", "one_step")
READINGS: Final = (*HONEST, "uniform", "inverse propensity", "pooled (refused)")


def reading(log: ContextualLog, name: str) -> Estimates:
    if name == "pooled (refused)":
        return pooled(log)
    if name == "inverse propensity":
        return inverse_propensity(log)
    return policy_contrast(log, by_sign(log.contexts), against=CONTROL, weights=name)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Widths:
    """A reading over many runs, and how wide its intervals were on average."""

    reading: Reading
    width: float


def coverages(
    world: ContextualWorld,
    policy: LinearPolicy,
    *,
    n_runs: int,
    rng: np.random.Generator,
    names: tuple[str, ...] = READINGS,
) -> dict[str, Widths]:
    """Some ways of reading the same runs."""
    real = truth(world)
    held: dict[str, list[bool]] = {name: [] for name in names}
    errors: dict[str, list[float]] = {name: [] for name in names}
    widths: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(n_runs):
        log = play(world, policy, rng=rng)
        for name in names:
            it = reading(log, name)
            radius = welch(it, alpha=0.05).critical * sqrt(it.difference_variance)
            error = it.treatment - it.control - real
            held[name].append(abs(error) <= radius)
            errors[name].append(error)
            widths[name].append(2 * radius)
    return {
        name: Widths(
            Reading(
                float(np.mean(held[name])),
                float(np.mean(errors[name])),
                float(np.std(errors[name], ddof=1) / sqrt(n_runs)),
            ),
            float(np.mean(widths[name])),
        )
        for name in names
    }


POLICY: Final = LinearPolicy(floor=0.02, draws=32)


def covered(rng: np.random.Generator, n_runs: int, *, name: str, world: ContextualWorld) -> float:
    """Share of runs whose nominal 95 % interval held the truth."""
    found = coverages(world, POLICY, n_runs=n_runs, rng=rng, names=(name,))
    return found[name].reading.coverage


def _simulation(name: str, world: ContextualWorld, what: str) -> Simulation:
    is_shortcut = name.startswith("pooled")
    lowest, highest = (0.0, 0.7) if is_shortcut else (0.92, 1.0)
    said = f"LinTS, base rate 15 % to 45 %, {what}: 95 % intervals, {name}"
    share = partial(covered, name=name, world=world)
    return Simulation("contextual", said, lowest, highest, 60, share, is_shortcut=is_shortcut)


SIMULATIONS: Final = (
    *(_simulation(it, DRIFTING, "effects by context") for it in (*HONEST, "pooled (refused)")),
    *(_simulation(it, UNCHANGED, "no effect") for it in ("stable", "one_step")),
)


def main() -> None:
    """Print the table of docs/bandits.md: ways, coverage, bias and width."""
    from tests.rig.sizes import scaled

    for floor in (0.005, 0.02, 0.05):
        policy = LinearPolicy(floor=floor, draws=32)
        for title, world in (("by context", DRIFTING), ("none", UNCHANGED)):
            found = coverages(world, policy, n_runs=scaled(100), rng=np.random.default_rng(9))
            for name, it in found.items():
                print(
                    f"floor {floor}, effects {title}, {name}: coverage {it.reading.coverage:.3f},"
                    f" bias {it.reading.bias:+.4f} (se {it.reading.standard_error:.4f}),"
                    f" width {it.width:.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
