"""What each buyer will still bring: days of purchase to come, times what such a day brings."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.learning.artifact import Artifact
from engine.learning.lifetime.bg_nbd import BgNbd
from engine.learning.lifetime.gamma_gamma import GammaGamma
from engine.learning.lifetime.repeats import Repeats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KIND: Final = "lifetime"
WEEKS_A_YEAR: Final = 365.25 / 7
STEP: Final = WEEKS_A_YEAR / 12
"""What comes within a step is discounted as if it came at its end: a month."""


@dataclass(frozen=True)
class Lifetime:
    """Both models; without `spend` purchases are counted and have no value."""

    purchases: BgNbd
    spend: GammaGamma | None = None

    def expected_purchases(self, repeats: Repeats, *, within: float) -> "Floats":
        """Days of purchase of each in the next `within` weeks."""
        return self.purchases.expected_purchases(repeats.x, repeats.t_x, repeats.age, within=within)

    def alive(self, repeats: Repeats) -> "Floats":
        """The chance that each will buy again some day."""
        return self.purchases.alive(repeats.x, repeats.t_x, repeats.age)

    def value(self, repeats: Repeats, *, within: float, discount: float = 0.0) -> "Floats":
        """Money that each brings in the next `within` weeks.

        Args:
            discount: A year's: at 0.1, 110 in a year are worth 100 now.
        Raises:
            ValueError: If spend was not fitted, or the discount is not above -100 %.
        """
        return lifetime_value(self, repeats, within=within, discount=discount)

    def artifact(self) -> Artifact:
        """As arrays and a schema."""
        parts = {"purchases": self.purchases.artifact()}
        if self.spend is not None:
            parts["spend"] = self.spend.artifact()
        arrays = {
            f"{part}.{name}": array
            for part, it in parts.items()
            for name, array in it.arrays.items()
        }
        schema = {"kind": KIND, **{part: dict(it.schema) for part, it in parts.items()}}
        return Artifact(arrays, schema)

    @classmethod
    def of(cls, artifact: Artifact) -> "Lifetime":
        """What `artifact` kept."""

        def part(name: str) -> Artifact:
            arrays = {
                key.removeprefix(f"{name}."): array
                for key, array in artifact.arrays.items()
                if key.startswith(f"{name}.")
            }
            return Artifact(arrays, artifact.schema[name])

        spend = GammaGamma.of(part("spend")) if "spend" in artifact.schema else None
        return cls(BgNbd.of(part("purchases")), spend)


def lifetime_value(
    model: Lifetime,
    repeats: Repeats,
    *,
    within: float,
    discount: float = 0.0,
    step: float = STEP,
) -> "Floats":
    """Money that each brings in the next `within` weeks, discounted by the step.

    Raises:
        ValueError: If spend was not fitted, or the discount is not above -100 %.
    """
    import numpy as np

    if model.spend is None:
        raise ValueError("spend was not fitted: this model counts purchases and knows no money")
    if not discount > -1:
        raise ValueError(f"a discount of {discount:g} a year is none; 0.1 is a tenth a year")
    spend = model.spend.expected_spend(repeats.x, repeats.spend)
    if discount == 0:
        told: Floats = spend * model.expected_purchases(repeats, within=within)
        return told
    total, before = np.zeros(repeats.n), np.zeros(repeats.n)
    # Whole steps, and what is left of the last.
    for end in [*np.arange(step, within - 1e-9, step), within]:
        until = model.expected_purchases(repeats, within=float(end))
        total += (until - before) * (1 + discount) ** (-float(end) / WEEKS_A_YEAR)
        before = until
    return spend * total
