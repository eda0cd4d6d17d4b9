"""Policies that choose by context, read from sums: the few contexts of a bandit, and their cohorts.

The same scores as `contextual_inference` and the same `stable` weights, where contexts are few: a
unit's score depends on its context, version, arm and outcome alone, so counts, means and moments
say all there is to know. A policy gives chances by context; it may also be what ran (`AS_RAN`),
because a version's chances were settled before the units it drew: so the worth of choosing by
context, as it learnt, can be read without bias, which the worth of the last version cannot.
Source: Zhan, Hadad, Hirshberg, Athey (KDD 2021), arXiv 2106.02029.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from experiments.bandits.log import ArmSums, Batch
from experiments.bandits.off_policy import EFFECTIVE_MIN, EFFECTIVE_SHARE_MIN, SHARE_OF_ONE_MAX
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates

Chances = Mapping[str, Mapping[str, float]]
"""Of arms, by context."""

PRIOR_UNITS: Final = 10
"""What a context's guess borrows from the arm's units of all contexts; no guess can bias."""


@dataclass(frozen=True)
class Cell:
    """One cohort of one context; `batch.version` is shared by the contexts of a version."""

    context: str
    batch: Batch


@dataclass(frozen=True)
class AsRan:
    """The policy that each unit was drawn by."""


AS_RAN: Final = AsRan()

Policy = Chances | AsRan
"""What can be read: fixed chances by context, or what ran."""


def always(arm: str, cells: Iterable[Cell]) -> dict[str, dict[str, float]]:
    """The policy that gives everybody one arm."""
    return {it.context: {arm: 1.0} for it in cells}


def contrast(
    cells: Sequence[Cell], policy: Policy, *, against: Policy, first_guess: float = 0.0
) -> Estimates:
    """A policy (as treatment) beside another one (as control), ready for any evidence.

    Args:
        policy, against: Fixed ones must have been decided without looking at these outcomes.
        first_guess: Of the outcome, known before the start; sharpens and cannot bias.
    Raises:
        DataError: If the policies do the same everywhere, or the log does not hold enough of what
            one of them would do.
    """
    chosen = [it for it in cells if it.batch.n]
    for side in (policy, against):
        require_support(chosen, side)
    pairs = [(_chances(it, against), _chances(it, policy)) for it in chosen]
    if not any(_apart(it, *pair) for it, pair in zip(chosen, pairs, strict=True)):
        raise DataError("the two policies do the same in every context; there is nothing to read")
    weights = version_weights(chosen, policy, against=against)
    guesses = _guesses(chosen, first_guess=first_guess)
    total = means_below = means_above = 0.0
    scored = []
    for cell, (below, above), guess in zip(chosen, pairs, guesses, strict=True):
        weight = weights[cell.batch.version]
        parts = _Scored(cell.batch, guess, below, above)
        scored.append((weight, parts))
        total += weight * cell.batch.n
        means_below += weight * parts.sum(0)
        means_above += weight * parts.sum(1)
    means = (means_below / total, means_above / total)

    def spread(one: int, other: int) -> float:
        return sum(w * w * it.product(one, other, means) for w, it in scored) / total**2

    return Estimates(
        control=means[0],
        treatment=means[1],
        control_variance=spread(0, 0),
        treatment_variance=spread(1, 1),
        covariance=spread(0, 1),
        difference_variance=spread(2, 2),
        n_control=_n_followed(chosen, against),
        n_treatment=_n_followed(chosen, policy),
        degrees_of_freedom=inf,
    )


def require_support(cells: Sequence[Cell], policy: Policy) -> None:
    """Refuse a policy of which the log holds too little, with the reason.

    Raises:
        DataError: On decisions that had no chance, too few effective units, or one that counts for
            too much; the bounds are those of `off_policy`.
    """
    n = total = squares = largest = 0.0
    for it in cells:
        logged = it.batch.probabilities
        for arm, wished in _chances(it, policy).items():
            if wished and arm not in logged:
                raise DataError(f'"{arm}" had no chance at all in the context "{it.context}"')
        for arm, its in it.batch.arms.items():
            weight = _chances(it, policy).get(arm, 0.0) / logged[arm]
            n += its.n
            total += its.n * weight
            squares += its.n * weight * weight
            largest = max(largest, weight if its.n else 0.0)
    effective = total * total / squares if squares else 0.0
    needed = max(EFFECTIVE_MIN, EFFECTIVE_SHARE_MIN * n)
    if effective < needed:
        raise DataError(
            f"{n:,.0f} mature units are worth {effective:,.0f} of what would be read; at least"
            f" {needed:,.0f} are needed"
        )
    if largest > SHARE_OF_ONE_MAX * total:
        raise DataError(f"one unit counts for {largest / total:.0%} of the whole")


def _chances(cell: Cell, policy: Policy) -> Mapping[str, float]:
    if isinstance(policy, AsRan):
        return cell.batch.probabilities
    return policy[cell.context]


def _apart(cell: Cell, below: Mapping[str, float], above: Mapping[str, float]) -> float:
    """Sum over arms of (difference of the policies)^2 / chance."""
    logged = cell.batch.probabilities
    return sum((above.get(a, 0.0) - below.get(a, 0.0)) ** 2 / e for a, e in logged.items())


def version_weights(cells: Sequence[Cell], policy: Policy, *, against: Policy) -> dict[int, float]:
    """By version, the root of its precision: over all units' contexts, which nobody chose."""
    n_of: dict[str, int] = {}
    vectors: dict[tuple[int, str], Cell] = {}
    for it in cells:
        n_of[it.context] = n_of.get(it.context, 0) + it.batch.n
        vectors.setdefault((it.batch.version, it.context), it)
    found = {}
    for version in {it.batch.version for it in cells}:
        doubt = n = 0.0
        for context, units in n_of.items():
            cell = vectors.get((version, context))
            if cell is None:
                continue  # The version met nobody of it, and need not be known there.
            doubt += units * _apart(cell, _chances(cell, against), _chances(cell, policy))
            n += units
        found[version] = (n / doubt) ** 0.5 if doubt > 0 else 0.0
    # Where both do the same a version says nothing of their difference, but of their means.
    most = max(found.values())
    return {version: it if it > 0 else most for version, it in found.items()}


def _guesses(cells: Sequence[Cell], *, first_guess: float) -> list[dict[str, float]]:
    """What each cell's outcomes would have been guessed as, from earlier periods only."""
    order = sorted(range(len(cells)), key=lambda i: cells[i].batch.period)
    own: dict[tuple[str, str], ArmSums] = {}
    arms: dict[str, ArmSums] = {}
    everyone = ArmSums(0)
    found: list[dict[str, float]] = [{} for _ in cells]
    waiting: list[int] = []
    for i in order:
        if waiting and cells[waiting[0]].batch.period < cells[i].batch.period:
            for j in waiting:
                for arm, sums in cells[j].batch.arms.items():
                    key = (cells[j].context, arm)
                    own[key] = own.get(key, ArmSums(0)).merge(sums)
                    arms[arm] = arms.get(arm, ArmSums(0)).merge(sums)
                    everyone = everyone.merge(sums)
            waiting = []
        waiting.append(i)
        otherwise = everyone.mean if everyone.n else first_guess
        for arm in cells[i].batch.probabilities:
            of_arm = arms.get(arm, ArmSums(0))
            of_all = of_arm.mean if of_arm.n else otherwise
            here = own.get((cells[i].context, arm), ArmSums(0))
            found[i][arm] = (here.n * here.mean + PRIOR_UNITS * of_all) / (here.n + PRIOR_UNITS)
    return found


def _n_followed(cells: Sequence[Cell], policy: Policy) -> int:
    """Units that got an arm which the policy might give them."""
    return sum(
        its.n
        for it in cells
        for arm, its in it.batch.arms.items()
        if _chances(it, policy).get(arm, 0.0) > 0
    )


class _Scored:
    """The scores of one cell's units under both policies and of their difference, by sums.

    A unit of arm a with outcome y scores c + d (y - guess of a): c is the policy's mean guess, d
    its chance of a over the logged one. Place 0 is the policy below, 1 the one above, 2 is above
    less below.
    """

    def __init__(
        self,
        batch: Batch,
        guess: Mapping[str, float],
        below: Mapping[str, float],
        above: Mapping[str, float],
    ) -> None:
        apart = {arm: above.get(arm, 0.0) - below.get(arm, 0.0) for arm in batch.probabilities}
        self._constants = [
            sum(its.get(arm, 0.0) * guess[arm] for arm in batch.probabilities)
            for its in (below, above, apart)
        ]
        self._arms = [
            (its.n, its.mean - guess[arm], its.moment,
             [side.get(arm, 0.0) / batch.probabilities[arm] for side in (below, above, apart)])
            for arm, its in batch.arms.items()
            if its.n
        ]  # fmt: skip

    def sum(self, place: int) -> float:
        """Of the scores."""
        c = self._constants[place]
        return sum(n * (c + slopes[place] * off) for n, off, _, slopes in self._arms)

    def product(self, one: int, other: int, means: tuple[float, float]) -> float:
        """Sum over units of (score of one - its mean) * (score of other - its mean)."""
        centres = (*means, means[1] - means[0])
        a, b = self._constants[one] - centres[one], self._constants[other] - centres[other]
        return sum(
            n * (a + d[one] * off) * (b + d[other] * off) + d[one] * d[other] * moment
            for n, off, moment, d in self._arms
        )
