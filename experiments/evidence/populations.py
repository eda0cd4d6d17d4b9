"""The sample ratio of named populations: where units went missing, not only that some did.

Everyone, those triggered, each day, each source of exposures, each level of a dimension. Levels of
one dimension are corrected for their number (Bonferroni), so that a dimension raises a false alarm
no more often than a single test. A population chosen by what happened after the assignment
(delivered) may differ between variants because the treatment works: a finding, not a leak.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.errors import DataError
from experiments.evidence.srm import ALARM_BELOW, SampleRatio, sample_ratio

AFTER_ASSIGNMENT = ("delivered", "opened", "clicked")
"""Dimensions that the treatment itself can move; they never veto."""


@dataclass(frozen=True)
class Population:
    """Units per variant of one population.

    Attributes:
        name: For people: "2026-03-01", "api", "DE", or the dimension's own name.
        dimension: What it is one level of: "everyone", "triggered", "delivered", "day", "source",
            "country".
        looks: Units per variant at each look, oldest first, each with all units up to it. One look
            where the population is closed, as a past day is.
    """

    name: str
    dimension: str
    looks: Sequence[Mapping[str, int]]


@dataclass(frozen=True)
class PopulationRatio:
    """One population read.

    Attributes:
        ratio: None where nobody was there yet.
        vetoes: Whether a mismatch here withholds the verdict.
    """

    population: Population
    ratio: SampleRatio | None
    vetoes: bool

    @property
    def passed(self) -> bool:
        """Whether there is no mismatch; an empty population has none."""
        return self.ratio is None or self.ratio.passed


def sample_ratios(
    populations: Sequence[Population],
    *,
    weights: Mapping[str, int],
    watched: bool = True,
    planned_sample: int | None = None,
    alarm_below: float = ALARM_BELOW,
) -> tuple[PopulationRatio, ...]:
    """Compare every population with the planned weights, in the given order.

    Args:
        planned_sample: Units in all variants of everyone; other dimensions share it among their
            levels.
        alarm_below: The chance of a false alarm per dimension.
    Raises:
        DataError: If a name comes twice in a dimension, or a population has no look.
    """
    levels: dict[str, list[str]] = {}
    for population in populations:
        if not population.looks:
            raise DataError(f"population {population.name!r} has no look; give its counts")
        names = levels.setdefault(population.dimension, [])
        if population.name in names:
            raise DataError(f"{population.dimension} {population.name!r} is given twice")
        names.append(population.name)
    found = []
    for population in populations:
        n_levels = len(levels[population.dimension])
        ratio = None
        if sum(population.looks[-1].values()) > 0:
            ratio = sample_ratio(
                population.looks[-1],
                weights=weights,
                earlier=population.looks[:-1],
                watched=watched,
                planned_sample=None if planned_sample is None else planned_sample // n_levels,
                alarm_below=alarm_below / n_levels,
            )
        vetoes = population.dimension not in AFTER_ASSIGNMENT
        found.append(PopulationRatio(population, ratio, vetoes))
    return tuple(found)
