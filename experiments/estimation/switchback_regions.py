"""A switchback in several regions at once, each with coins of its own; and whose coins they were.

Regions (cities, depots) must not reach into each other. Each is a switchback by itself, all over
the same periods, and the effect is the plain mean of theirs. The coins come from a seed: a hash of
region and period decides, so that the schedule is known beforehand, the same on every machine, and
can be compared afterwards with what was in truth played.
Read next: `switchback`, one region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.assignment import bucket
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.estimation.switchback import Switchback, reassigned, switchback

if TYPE_CHECKING:
    import numpy as np

COINS_ALL = 12
"""Up to so many coins in all regions together, every assignment is taken."""
DRAWS = 9_999


@dataclass(frozen=True)
class Region:
    """One region's periods, in time: outcome, and 1 where treated."""

    outcomes: Sequence[float]
    treated: Sequence[int]


@dataclass(frozen=True)
class Regions:
    """All regions together.

    Attributes:
        each: By region.
        estimates: The mean over regions; regions are independent, so variances add.
        randomization_pvalue: Of no effect in any period of any region.
    """

    each: Mapping[str, Switchback]
    estimates: Estimates
    randomization_pvalue: float
    n_coins: Mapping[str, int]

    @property
    def n_washout(self) -> int:
        """Periods left out, in all regions."""
        return sum(it.n_washout for it in self.each.values())

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to know before believing it."""
        return tuple(
            f"{name}: {said}" if name else said
            for name, it in self.each.items()
            for said in it.cautions
        )


def is_treated(seed: str, region: str, start: int) -> bool:
    """What the seed's coin says of the periods that begin at `start` (from 0) in a region."""
    return bucket(seed, f"{region}|{start}", version="s256") < 2**52


def schedule(
    seed: str, *, regions: Sequence[str], n_periods: int, starts: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """1 or 0 for every period of every region, as the seed decides."""
    found = {}
    for region in regions:
        coins = {start: int(is_treated(seed, region, start)) for start in starts}
        current, row = 0, []
        for period in range(n_periods):
            current = coins.get(period, current)
            row.append(current)
        found[region] = tuple(row)
    return found


def switchback_regions(
    regions: Mapping[str, Region],
    *,
    starts: Sequence[int],
    order: int,
    alpha: float,
    rng: np.random.Generator,
) -> Regions:
    """Estimate the lag-`order` effect, on average over regions.

    Raises:
        DataError: If regions have different numbers of periods, or one is not what `switchback`
            takes; its name is said.
    """
    import numpy as np

    lengths = {len(it.outcomes) for it in regions.values()}
    if len(lengths) != 1:
        raise DataError(f"regions of {sorted(lengths)} periods; all need the same ones")
    each: dict[str, Switchback] = {}
    for name, it in regions.items():
        try:
            each[name] = switchback(
                it.outcomes, it.treated, starts=starts, order=order, alpha=alpha, rng=rng
            )
        except DataError as error:
            raise DataError(f"region {name}: {error}" if name else str(error)) from error
    coins = [[it.treated[start] for start in starts] for it in regions.values()]
    size, n_starts = len(regions), len(starts)
    observed = abs(sum(it.estimates.treatment - it.estimates.control for it in each.values()))
    drawn = _other_coins(size * n_starts, rng=rng)
    total = np.zeros(len(drawn))
    for place, it in enumerate(regions.values()):
        own = drawn[:, place * n_starts : (place + 1) * n_starts]
        total += reassigned(it.outcomes, own, starts=starts, order=order)
    as_large = int((np.abs(total) >= observed * (1 - 1e-12)).sum())
    is_all = size * n_starts <= COINS_ALL
    pvalue = as_large / len(drawn) if is_all else (as_large + 1) / (len(drawn) + 1)
    n_treated = sum(map(sum, coins))
    return Regions(
        each,
        _mean([it.estimates for it in each.values()], freedom=float(max(size * (n_starts - 1), 1))),
        pvalue,
        {"treated": n_treated, "untreated": size * n_starts - n_treated},
    )


def _other_coins(n: int, *, rng: np.random.Generator) -> np.typing.NDArray[np.int64]:
    import numpy as np

    if n <= COINS_ALL:
        return np.arange(2**n)[:, None] >> np.arange(n) & 1
    return rng.integers(0, 2, (DRAWS, n))


def _mean(parts: Sequence[Estimates], *, freedom: float) -> Estimates:
    size = len(parts)
    square = size * size
    variance = sum(it.difference_variance for it in parts) / square
    return Estimates(
        control=sum(it.control for it in parts) / size,
        treatment=sum(it.treatment for it in parts) / size,
        control_variance=sum(it.control_variance for it in parts) / square,
        treatment_variance=sum(it.treatment_variance for it in parts) / square,
        covariance=sum(it.covariance for it in parts) / square,
        difference_variance=variance,
        n_control=sum(it.n_control for it in parts),
        n_treatment=sum(it.n_treatment for it in parts),
        degrees_of_freedom=freedom,
    )
