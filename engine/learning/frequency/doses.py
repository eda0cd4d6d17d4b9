"""People by the cap that they drew, and what came of it; refused where it was no draw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.refusals import Refused
from experiments.evidence.srm import sample_ratio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EACH_LEAST: Final = 50
"""People of a dose below which nothing is said of it."""
ALARM: Final = 0.001
"""Chance by which a fair draw may be taken for none, over all segments together."""
WEIGHTS: Final = 1_000_000


@dataclass(frozen=True)
class Worth:
    """What is weighed against what, in one currency.

    Attributes:
        outcome: What one of the outcome is worth; 1 where it is money already.
        unsubscribe: What is lost with somebody who unsubscribes.
        send: What one message costs.
    """

    outcome: float = 1.0
    unsubscribe: float = 0.0
    send: float = 0.0

    def __post_init__(self) -> None:
        for name in ("outcome", "unsubscribe", "send"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"worth of {name} is {getattr(self, name)}; 0 or more is needed")


@dataclass(frozen=True, eq=False)
class Doses:
    """Units as they drew; arrays of one length.

    Attributes:
        dose: The cap that each drew, sent to as often or not.
        outcome: Conversions or money over the whole trial.
        unsubscribed: Whether each did.
        sends: Messages that each got.
        segment: Places in `segments`.
        shares: By dose the chance with which it was drawn, ascending; sums to 1.
    """

    dose: "NDArray[np.int64]"
    outcome: "Floats"
    unsubscribed: "NDArray[np.bool_]"
    sends: "Floats"
    segment: "NDArray[np.int64]"
    segments: tuple[str, ...]
    shares: Mapping[int, float]

    @classmethod
    def of(
        cls,
        dose: Any,
        outcome: Any,
        unsubscribed: Any,
        sends: Any,
        *,
        shares: Mapping[int, float],
        segment: Any = None,
    ) -> "Doses":
        """Check columns: one row a person, who drew once.

        Args:
            shares: As the draw was declared. A dose that is chosen by something else than a draw
                has none, and its curve would be that of whoever it was given to.
            segment: A name for each; everybody is one where none is given.
        Raises:
            Refused: If the doses do not stand in their shares, overall or within a segment, or too
                few drew one.
            ValueError: If columns are not of one length, or hold what cannot be.
        """
        import numpy as np

        dose = np.asarray(dose, dtype=np.int64)
        outcome = np.asarray(outcome, dtype=np.float64)
        gone = np.asarray(unsubscribed, dtype=np.bool_)
        sends = np.asarray(sends, dtype=np.float64)
        if segment is None:
            segment = np.full(len(dose), "everybody")
        names, place = np.unique(np.asarray(segment), return_inverse=True)
        if len({len(it) for it in (dose, outcome, gone, sends, place)}) != 1:
            raise ValueError("dose, outcome, unsubscribed, sends and segment are not one row each")
        if not (np.isfinite(outcome).all() and (sends >= 0).all()):
            raise ValueError("an outcome is not a number, or a number of sends is negative")
        declared = dict(sorted(shares.items()))
        if len(declared) < 2 or abs(sum(declared.values()) - 1) > 1e-6:
            raise ValueError(f"shares are {declared}: of two doses or more, adding up to 1")
        if min(declared.values()) <= 0 or not set(np.unique(dose).tolist()) <= set(declared):
            raise ValueError(f"doses {np.unique(dose).tolist()} were drawn, of {list(declared)}")
        found = cls(dose, outcome, gone, sends, place, tuple(map(str, names)), declared)
        found._refuse_what_is_no_draw()
        return found

    @property
    def n(self) -> int:
        return len(self.dose)

    @property
    def levels(self) -> tuple[int, ...]:
        """The doses, ascending."""
        return tuple(self.shares)

    def net(self, worth: Worth) -> "Floats":
        """What each brought, less what they cost."""
        found: Floats = (
            worth.outcome * self.outcome
            - worth.unsubscribe * self.unsubscribed
            - worth.send * self.sends
        )
        return found

    def _refuse_what_is_no_draw(self) -> None:
        import numpy as np

        weights = {str(it): max(1, round(share * WEIGHTS)) for it, share in self.shares.items()}
        for place in (None, *range(len(self.segments))):
            drawn = self.dose if place is None else self.dose[self.segment == place]
            counts = {str(it): int((drawn == it).sum()) for it in self.shares}
            least = min(counts, key=lambda it: counts[it])
            if place is None and counts[least] < EACH_LEAST:
                raise Refused(
                    f"{counts[least]} people drew {least} ({EACH_LEAST} are needed)",
                    "let the trial run longer, or widen its shares",
                )
            pvalue = sample_ratio(counts, weights=weights).pvalue
            if pvalue < ALARM / (1 + len(self.segments)):
                where = "" if place is None else f' within "{self.segments[place]}"'
                told = " / ".join(f"{it:,}" for it in counts.values())
                wanted = " / ".join(f"{it:.0%}" for it in self.shares.values())
                raise Refused(
                    f"the doses {', '.join(counts)} do not stand in their shares{where}:"
                    f" {told} against {wanted} (p = {pvalue:.2g})",
                    "a dose must be the cap that was drawn, of everybody who drew; not what people "
                    "got, and a segment must be known before the draw",
                )
        assert np.isin(self.dose, self.levels).all()
