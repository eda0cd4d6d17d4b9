"""How much of a comparison was touched by something else.

A holdout answers "what if we had been silent", and it is only as silent as its units were. Messages
from *other* campaigns do not bias a randomized comparison when both sides get them alike, but they
change what is measured (the effect on top of them); when the sides get them unequally the effect is
partly theirs. A unit that must hear nothing at all and did is a leak.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from experiments.errors import DataError
from experiments.estimation.cuped import unadjusted
from experiments.estimation.ratio import Moments
from experiments.evidence.compare import Interval, absolute_lift, welch

ALARM_BELOW: Final = 0.001
"""As strict as a sample ratio mismatch: at every refresh it is looked at again."""


@dataclass(frozen=True)
class Touched:
    """One variant.

    Attributes:
        n: Units.
        n_touched: Units that something else reached after their exposure.
        n_touches: How often, in all.
    """

    n: int
    n_touched: int
    n_touches: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.n_touched <= self.n:
            raise DataError(f"{self.n_touched} of {self.n} units touched is impossible")

    @property
    def share(self) -> float:
        """Of the units, those that something else reached; 0 without units."""
        return self.n_touched / self.n if self.n else 0.0


@dataclass(frozen=True)
class Contamination:
    """How a comparison was touched.

    Attributes:
        variants: As counted.
        difference: Share touched in the treatment less that in the control.
        pvalue: Of both sides being touched alike; None where it cannot be asked.
        is_even: Whether they pass for alike.
        leaked: Units of a side that should have heard nothing at all, but did.
        reading: One sentence for people.
    """

    variants: Mapping[str, Touched]
    difference: Interval
    pvalue: float | None
    is_even: bool
    leaked: int
    reading: str


def contamination(
    variants: Mapping[str, Touched],
    *,
    control: str,
    treatment: str,
    must_be_silent: bool = False,
    alpha: float = 0.05,
) -> Contamination:
    """Compare how much each side was touched by others.

    Args:
        must_be_silent: Whether no touch of the control is allowed (the global holdout).
    Raises:
        DataError: If one of the two variants is missing.
    """
    for name in (control, treatment):
        if name not in variants:
            raise DataError(f"variant {name!r} is not among {', '.join(variants)}")
    sides = (variants[control], variants[treatment])
    difference = Interval(sides[1].share - sides[0].share, None, None)
    pvalue = None
    if min(side.n for side in sides) >= 2:
        estimates = unadjusted(*map(_moments, sides))
        test = welch(estimates, alpha=alpha)
        difference, pvalue = absolute_lift(estimates, critical=test.critical), test.pvalue
    is_even = pvalue is None or pvalue >= ALARM_BELOW
    leaked = sides[0].n_touched if must_be_silent else 0
    return Contamination(
        dict(variants), difference, pvalue, is_even, leaked,
        _of_silence(sides, leaked) if must_be_silent else _reading(sides, is_even),
    )  # fmt: skip


def _moments(side: Touched) -> Moments:
    share = side.share
    return Moments(side.n, share, share * (1 - share) * side.n / (side.n - 1))


def _of_silence(sides: tuple[Touched, Touched], leaked: int) -> str:
    """Where every campaign is the treatment, what reached the treated is no disturbance."""
    if leaked:
        return f"{leaked:,} units that should have heard nothing were reached."
    return f"Nobody held out was reached; {sides[1].share:.1%} of the others were."


def _reading(sides: tuple[Touched, Touched], is_even: bool) -> str:
    if sides[0].n_touched == sides[1].n_touched == 0:
        return "Nothing else reached these units."
    shares = f"{sides[0].share:.1%} of the control and {sides[1].share:.1%} of the treatment"
    if is_even:
        return f"Other campaigns reached {shares}: the effect is what this one adds to them."
    return f"Other campaigns reached {shares}: not alike, so part of the effect may be theirs."
