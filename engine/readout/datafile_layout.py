"""Which column of a data file is what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

UnitRows = Literal["once", "sum"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which column of a file is what.

    Attributes:
        variant: Names each unit's variant.
        unit: Identifies units; None if every row is one.
        unit_rows: What several rows of a unit mean: `once` counts repeats once and refuses rows
            with different values; `sum` adds them up. A proportion takes the maximum either way.
        zero_filled: Outcome columns in which an empty cell means 0.
        stratum, dimensions: Known before the experiment, of few values.
        cluster: What units were randomized by, where that is more than a unit.
        explored: Known before the experiment, numbers or texts, among which a tree may look for
            differing effects.
        predicting: The same kinds of columns, from which outcomes are predicted (CUPAC).
        received: What the unit in truth received, such as the page it was shown; most units of a
            variant receive the same.
        exposed_at: When the unit was exposed.
        measured_at: Covariate -> column of when it was measured, which must not be after
            `exposed_at`.
    """

    variant: str
    unit: str | None = None
    unit_rows: UnitRows = "once"
    zero_filled: frozenset[str] = frozenset()
    stratum: str | None = None
    dimensions: tuple[str, ...] = ()
    cluster: str | None = None
    explored: tuple[str, ...] = ()
    predicting: tuple[str, ...] = ()
    received: str | None = None
    exposed_at: str | None = None
    measured_at: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Every column it names, in order."""
        found = [self.variant, self.unit, self.stratum, *self.dimensions, self.cluster]
        found += [*self.explored, *self.predicting, self.received, self.exposed_at]
        found += self.measured_at.values()
        return [column for column in found if column is not None]
