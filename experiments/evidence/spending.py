"""How much of alpha may be used up by when: the spending functions of group sequential tests.

The information fraction is what share of the planned information is in: 0 at the start, 1 at the
planned end. Looks need not be planned; each may spend what has come free since the one before.
Sources: Lan, DeMets (Biometrika 70, 1983) for the first two; Kim, DeMets (Biometrika 74, 1987) for
`power`; Hwang, Shih, DeCani (Statistics in Medicine 9, 1990) for `hsd`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import e, expm1, isfinite, log, sqrt
from typing import Literal, get_args

from experiments.distributions import normal_quantile, normal_tail
from experiments.errors import PlanError

Kind = Literal["obrien_fleming", "pocock", "power", "hsd"]

NEEDS_A_PARAMETER = ("power", "hsd")


@dataclass(frozen=True)
class Spending:
    """One spending function.

    Attributes:
        kind: `obrien_fleming` spends next to nothing early, `pocock` about evenly, `power` as the
            fraction to a power, `hsd` in between: -4 is close to O'Brien-Fleming, 1 to Pocock.
        parameter: The exponent of `power` (above 0) or gamma of `hsd` (not 0); else None.
    """

    kind: Kind = "obrien_fleming"
    parameter: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise PlanError(
                f"spending {self.kind!r} is unknown; allowed are {', '.join(get_args(Kind))}"
            )
        if self.kind not in NEEDS_A_PARAMETER:
            if self.parameter is not None:
                raise PlanError(f"spending {self.kind} takes no parameter, found {self.parameter}")
            return
        if self.parameter is None or not isfinite(self.parameter) or self.parameter == 0:
            raise PlanError(
                f"spending {self.kind} needs a number that is not 0, found {self.parameter};"
                " write {power: 2} or {hsd: -4}"
            )
        if self.kind == "power" and self.parameter < 0:
            raise PlanError(f"spending power {self.parameter} would fall; it must be above 0")

    def spent(self, fraction: float, *, alpha: float) -> float:
        """How much of alpha (both sides together) is spent once this share of information is in.

        Raises:
            PlanError: If alpha is not between 0 and 1.
        """
        if not 0 < alpha < 1:
            raise PlanError(f"alpha {alpha} is not between 0 and 1")
        if fraction <= 0:
            return 0.0
        if fraction >= 1:
            return alpha
        match self.kind:
            case "obrien_fleming":
                return 4 * normal_tail(normal_quantile(1 - alpha / 4) / sqrt(fraction))
            case "pocock":
                return alpha * log(1 + (e - 1) * fraction)
            case "power":
                assert self.parameter is not None
                return float(alpha * fraction**self.parameter)
            case "hsd":
                assert self.parameter is not None
                return alpha * expm1(-self.parameter * fraction) / expm1(-self.parameter)

    def spent_on_one_side(self, fraction: float, *, alpha: float) -> float:
        """The same where all of alpha is on one side; there O'Brien and Fleming's form differs.

        Raises:
            PlanError: If alpha is not between 0 and 1.
        """
        if self.kind != "obrien_fleming" or not 0 < fraction < 1:
            return self.spent(fraction, alpha=alpha)
        if not 0 < alpha < 1:
            raise PlanError(f"alpha {alpha} is not between 0 and 1")
        return 2 * normal_tail(normal_quantile(1 - alpha / 2) / sqrt(fraction))


OBRIEN_FLEMING = Spending()
"""The default: at the planned end nearly a fixed test; early it stops for the overwhelming only."""


def spending_from(value: str | Mapping[str, float]) -> Spending:
    """Read the form users write: `obrien_fleming`, `pocock`, `{power: 2}` or `{hsd: -4}`.

    >>> spending_from({"hsd": -4})
    Spending(kind='hsd', parameter=-4.0)
    """
    if isinstance(value, str):
        return Spending(value)  # type: ignore[arg-type]  # An unknown name is refused inside.
    if len(value) != 1:
        raise PlanError(f"spending {dict(value)!r} must name one kind, like {{power: 2}}")
    ((kind, parameter),) = value.items()
    return Spending(kind, float(parameter))  # type: ignore[arg-type]
