"""From a model's raw word to a figure that can be believed, learnt on rows later than its own.

A chance: isotonic where a thousand people or more did, a sigmoid below that, which has two numbers
to find where isotonic has dozens. An amount: one factor that makes the total right.
Read next: `training`, which says what rows these are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ISOTONIC_FROM: Final = 1_000
"""People of the rarer outcome from which isotonic calibration is steady."""
TOLD_APART: Final = 1e-3
"""Share of the raw word in an isotonic chance: "the top tenth" must not be a step of thousands."""
GROUP: Final = 50
GROUPS_MAX: Final = 100
SOFTENING: Final = 2.0
STEPS_MAX: Final = 100
KINDS: Final = ("isotonic", "sigmoid", "factor", "none")


@dataclass(frozen=True, eq=False)
class Calibration:
    """How raw predictions are read.

    Attributes:
        kind: isotonic: `x` to `y` with straight lines between, and a trifle of the raw word, so
            that people on one step are still ranked; sigmoid: logistic(y[0] logit(p) +
            y[1]); factor: times y[0]; none: as they are.
    """

    kind: Literal["isotonic", "sigmoid", "factor", "none"]
    x: "Floats"
    y: "Floats"

    def read(self, raw: "Floats") -> "Floats":
        """Calibrated predictions, shape (n,)."""
        import numpy as np

        from engine.learning.scores.links import logistic, logit

        match self.kind:
            case "isotonic":
                steps: Floats = np.interp(raw, self.x, self.y)
                steps += TOLD_APART * (raw - steps)
                return steps
            case "sigmoid":
                return logistic(float(self.y[0]) * logit(raw) + float(self.y[1]))
            case "factor":
                return raw * float(self.y[0])
            case "none":
                return raw

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        import numpy as np

        return {"kind": np.array(KINDS.index(self.kind)), "x": self.x, "y": self.y}

    @classmethod
    def of(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Calibration":
        """What `arrays` gave."""
        return cls(KINDS[int(arrays["kind"])], arrays["x"], arrays["y"])


def uncalibrated() -> Calibration:
    """Predictions as the model gives them."""
    import numpy as np

    return Calibration("none", np.empty(0), np.empty(0))


def calibrate(
    raw: "Floats", y: "Floats", *, is_chance: bool, weights: "Floats | None" = None
) -> Calibration:
    """Learn how raw predictions of later rows are to be read.

    Slices too small to say anything (no outcome of one kind) leave predictions as they are.
    """
    import numpy as np

    w = np.ones(len(y)) if weights is None else weights
    if not is_chance:
        foretold, came = float(w @ raw), float(w @ y)
        if foretold <= 0 or came <= 0:
            return uncalibrated()
        return Calibration("factor", np.empty(0), np.array([came / foretold]))
    did = y > 0
    rarer = min(int(did.sum()), int((~did).sum()))
    if rarer == 0:
        return uncalibrated()
    return _isotonic(raw, y, w) if rarer >= ISOTONIC_FROM else _sigmoid(raw, y, w)


def _isotonic(raw: "Floats", y: "Floats", w: "Floats") -> Calibration:
    """Steps that never go down, through the shares of up to a hundred groups of equal size.

    Of single rows isotonic regression makes certainties: five in a row that did at the upper end
    are a chance of 1, and one who then does not costs more log loss than all others together. A
    group's share is therefore pulled towards everybody's by the weight of two people.
    Source: Zadrozny & Elkan (KDD 2002), on groups and softened as Laplace would.
    """
    import numpy as np
    from sklearn.isotonic import isotonic_regression

    n_groups = int(np.clip(len(y) // GROUP, 10, GROUPS_MAX))
    _, inverse, counts = np.unique(raw, return_inverse=True, return_counts=True)
    lower = counts.cumsum() - counts  # Rows strictly below: equals share a group.
    _, group = np.unique(((lower * n_groups) // len(y))[inverse], return_inverse=True)
    weight = np.bincount(group, w)
    known = weight > 0
    softening = SOFTENING * float(w.mean())
    base = float(np.average(y, weights=w))
    share = (np.bincount(group, w * y) + softening * base) / (weight + softening)
    steps = isotonic_regression(share[known], sample_weight=weight[known] + softening)
    at = np.bincount(group, w * raw)[known] / weight[known]
    return Calibration("isotonic", at, steps)


def _sigmoid(raw: "Floats", y: "Floats", w: "Floats") -> Calibration:
    """Platt's scaling of the log odds by Newton's steps, with his softened targets.

    Source: Platt (1999), targets (n+ + 1) / (n+ + 2) and 1 / (n- + 2). A slope below 0 would turn
    the ranking round on the word of one slice, so it ends at 0.
    """
    import numpy as np

    from engine.learning.scores.links import logistic, logit

    odds = logit(raw)
    did, did_not = float((y > 0).sum()), float((y <= 0).sum())
    target = np.where(y > 0, (did + 1) / (did + 2), 1 / (did_not + 2))
    share = float(np.average(target, weights=w))
    design = np.stack([odds, np.ones(len(odds))], axis=1)
    found = np.array([1.0, 0.0])

    def loss(at: "Floats") -> float:
        line = design @ at
        return float(w @ (np.logaddexp(0.0, line) - target * line))

    now = loss(found)
    for _ in range(STEPS_MAX):
        p = logistic(design @ found)
        slope = design.T @ (w * (p - target))
        curve = (design * (w * p * (1 - p))[:, None]).T @ design + 1e-10 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while size > 1e-8 and loss(found - size * step) > now:
            size /= 2
        found = found - size * step
        before, now = now, loss(found)
        if before - now < 1e-12 * max(1.0, abs(before)):
            break
    if not np.isfinite(found).all() or found[0] <= 0:
        found = np.array([0.0, float(np.log(share / (1 - share)))])
    return Calibration("sigmoid", np.empty(0), found)
