"""Beliefs into the next probability vector: Thompson or top-two, above a floor, in basis points.

Thompson sampling gives each arm the probability that it is the best; top-two gives a share to the
runner-up, which finds the best arm sooner once one leads. Every arm keeps a floor, because what is
never tried can never be read. Vectors are whole basis points that sum to exactly 10,000, so that
the assignment, the log and the read-out mean the same number.
Sources: Thompson (Biometrika 25, 1933); Russo (Operations Research 2020), "Simple Bayesian
algorithms for best-arm identification", for top-two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, isfinite, log
from typing import Final, Literal

from experiments.bandits.beliefs import Belief, p_best
from experiments.errors import PlanError

WHOLE: Final = 10_000
"""Basis points in a vector."""
DECAY_MAX: Final = 0.5
"""A floor that falls faster than t**-0.5 leaves too little to read (Hadad et al., PNAS 2021)."""


@dataclass(frozen=True)
class Policy:
    """How a bandit allocates.

    Attributes:
        algorithm: "thompson" or "top_two".
        floor: The least share of any arm outside the explored slice; above 0.
        explore: Share of units that are randomised evenly for ever and never learnt from: a plain
            experiment beside the bandit.
        leader_share: top_two: how often the sampled best is played rather than its challenger.
        floor_decay: The floor of update t is floor * t**-floor_decay; at most 0.5.
        better: Which direction of the metric is good.
    """

    algorithm: Literal["thompson", "top_two"] = "thompson"
    floor: float = 0.05
    explore: float = 0.10
    leader_share: float = 0.5
    floor_decay: float = 0.0
    better: Literal["higher", "lower"] = "higher"

    def __post_init__(self) -> None:
        if self.algorithm not in ("thompson", "top_two"):
            raise PlanError(f'algorithm "{self.algorithm}" is unknown: thompson or top_two')
        if not 0 < self.floor < 1:
            raise PlanError(
                f"a floor of {self.floor} is not a share above 0: an arm that may get nothing can"
                " never be read"
            )
        if not 0 <= self.explore < 1:
            raise PlanError(f"explore is {self.explore}; allowed is a share from 0 to below 1")
        if not 0 < self.leader_share < 1:
            raise PlanError(f"leader_share is {self.leader_share}; allowed is between 0 and 1")
        if not 0 <= self.floor_decay <= DECAY_MAX:
            raise PlanError(
                f"floor_decay is {self.floor_decay}; allowed is 0 to {DECAY_MAX}: a floor that"
                " falls faster leaves effects that nobody can read"
            )


def next_vector(beliefs: Sequence[Belief], policy: Policy, *, update: int = 1) -> tuple[int, ...]:
    """The probability vector to decide by from now on, in basis points.

    Args:
        update: 1 for the first vector that is learnt; the floor may fall with it.
    """
    shares = p_best(beliefs, better=policy.better)
    if policy.algorithm == "top_two":
        shares = top_two(beliefs, leader_share=policy.leader_share, better=policy.better)
    return floored(shares, floor=floor_at(policy, update=update))


def top_two(
    beliefs: Sequence[Belief],
    *,
    leader_share: float = 0.5,
    better: Literal["higher", "lower"] = "higher",
) -> tuple[float, ...]:
    """Chance of each arm to be played by top-two Thompson sampling.

    The leader is drawn by P(best) and played with `leader_share`; else the draws are repeated
    until another arm is best, and that one is played: arm i with a_i / (1 - a_leader).
    """
    leading = p_best(beliefs, better=better)
    if len(leading) == 1:
        return leading
    total = [leader_share * share for share in leading]
    for leader, share in enumerate(leading):
        rest = [0.0 if i == leader else it for i, it in enumerate(leading)]
        left = sum(rest)  # Not 1 - share, which rounds to 0 once the leader is all but certain.
        if left < 1e-100:
            others = [it for i, it in enumerate(beliefs) if i != leader]
            rest = list(p_best(others, better=better))
            rest.insert(leader, 0.0)
            left = 1.0
        for i, it in enumerate(rest):
            total[i] += (1 - leader_share) * share * it / left
    return tuple(total)


def floor_at(policy: Policy, *, update: int) -> float:
    """The least share of an arm at the given update."""
    if update < 1:
        raise PlanError(f"update {update} is impossible; the first is 1")
    return policy.floor * exp(-policy.floor_decay * log(update))


def floored(shares: Sequence[float], *, floor: float) -> tuple[int, ...]:
    """floor + (1 - K floor) * share, in basis points that sum to exactly 10,000.

    Nobody is below the floor (rounded up to a basis point); what rounding leaves over goes to the
    largest remainders, the first arm first among equals.

    >>> floored((0.999, 0.001), floor=0.05)
    (9491, 509)
    """
    n = len(shares)
    if not n or not all(isfinite(it) and it >= 0 for it in shares) or sum(shares) <= 0:
        raise PlanError(f"shares {tuple(shares)} are no probabilities")
    least = ceil(round(floor * WHOLE, 6))
    room = WHOLE - n * least
    if least < 1 or room < 0:
        raise PlanError(
            f"a floor of {floor:.4f} for {n} arms is impossible; allowed is 0.0001 to {1 / n:.4f}"
        )
    total = sum(shares)
    wished = [room * it / total for it in shares]
    points = [_whole(it) for it in wished]
    by_rest = sorted(range(n), key=lambda i: (points[i] - wished[i], i))
    for i in by_rest[: room - sum(points)]:
        points[i] += 1
    return tuple(least + it for it in points)


def even_vector(n: int) -> tuple[int, ...]:
    """Every arm alike, as nearly as basis points allow: what a bandit begins with."""
    return floored((1.0,) * n, floor=1 / WHOLE)


def _whole(number: float) -> int:
    """Down to a whole number; a whole one that arithmetic left a hair below stays itself."""
    return floor(number + 1e-9)
