"""Buyers counted by what is known of them, and how likely a BG/NBD model makes it.

Most people bought once or twice: thousands share one row. Read next: `bg_nbd`, which fits.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.learning.lifetime.likelihood import Loss

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Groups:
    """People of the same (x, t_x, age) together: the likelihood asks each group once.

    Attributes:
        n: People in each.
        levels: The x there are, ascending; `level` is each group's place among them.
    """

    x: "Floats"
    t_x: "Floats"
    age: "Floats"
    n: "Floats"
    levels: "Floats"
    level: "NDArray[np.intp]"

    @classmethod
    def of(cls, x: Any, t_x: Any, age: Any, n: Any = None) -> "Groups":
        """Group people; `n` where they are counted already.

        Raises:
            Refused: If these are no counts and spans.
        """
        import numpy as np

        given = columns(x, t_x, age)
        if not len(given[0]):
            raise Refused("nobody has bought anything yet", "wait for purchases, or import them")
        many = np.ones(len(given[0])) if n is None else np.asarray(n, dtype=float)
        order = np.lexsort(given)
        x, t_x, age = (it[order] for it in given)
        is_new = np.r_[True, (np.diff(x) != 0) | (np.diff(t_x) != 0) | (np.diff(age) != 0)]
        starts = np.flatnonzero(is_new)
        x, t_x, age = x[starts], t_x[starts], age[starts]
        levels, level = np.unique(x, return_inverse=True)
        return cls(x, t_x, age, np.add.reduceat(many[order], starts), levels, level)

    def sample(self, size: int) -> "Groups":
        """Evenly spread groups, all where there are no more than `size`."""
        import numpy as np

        if len(self.x) <= size:
            return self
        at = np.linspace(0, len(self.x) - 1, size).astype(int)
        return Groups.of(self.x[at], self.t_x[at], self.age[at], self.n[at])

    def counted(self, n: "Floats") -> "Groups":
        """The same groups with other counts."""
        return Groups(self.x, self.t_x, self.age, n, self.levels, self.level)


def columns(x: Any, t_x: Any, age: Any) -> "tuple[Floats, Floats, Floats]":
    """Checked counts and spans, as float64 of shape (n,).

    Raises:
        Refused: If a row contradicts itself; it is named.
    """
    import numpy as np

    x, t_x, age = (np.asarray(it, dtype=np.float64) for it in (x, t_x, age))
    if not x.shape == t_x.shape == age.shape or x.ndim != 1:
        raise ValueError(
            f"x, t_x and age are of shapes {x.shape}, {t_x.shape}, {age.shape}: not one"
        )
    wrong = ~((x >= 0) & (t_x >= 0) & (t_x <= age) & np.isfinite(age) & np.isfinite(x))
    wrong |= (x != np.floor(x)) | ((x == 0) & (t_x > 0))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise Refused(
            f"row {at} says {x[at]:g} repeats, the last after {t_x[at]:g} of {age[at]:g}",
            "repeats are whole and 0 or more, and 0 <= t_x <= age, with t_x = 0 where x = 0",
        )
    return x, t_x, age


def loss_of(groups: Groups, scale: float, penalty: float) -> "Loss":
    """Mean negative log-likelihood (equation 6 of the paper) of the logarithms of r, alpha, a, b.

    What depends on x alone is asked once for each x there is.
    """
    import numpy as np
    from scipy import special

    level, levels = groups.level, groups.levels
    n, total = groups.n, groups.n.sum()
    t_x, age = groups.t_x * scale, groups.age * scale
    is_back = groups.x > 0
    before = np.maximum(levels, 1) - 1
    n_level = np.bincount(level, weights=n, minlength=len(levels))

    def loss(logs: "Floats") -> "tuple[float, Floats]":
        r, alpha, a, b = np.exp(logs)
        with_age, with_t = np.log(alpha + age), np.log(alpha + t_x)
        rx = r + groups.x
        # Still there, against stopped upon the last purchase, whose ratio is `turn`.
        turn = rx * (with_age - with_t) + (np.log(a) - np.log(b + before))[level]
        turn = np.where(is_back, turn, -np.inf)
        gone = special.expit(turn)
        by_x = special.gammaln(r + levels) - special.gammaln(r) + special.betaln(a, b + levels)
        by_x += r * np.log(alpha) - special.betaln(a, b)
        told = n_level @ by_x + n @ (np.logaddexp(0, turn) - rx * with_age)

        n_gone = np.bincount(level, weights=n * gone, minlength=len(levels))
        psi_ab = special.digamma(a + b) - special.digamma(a + b + levels)
        slope = np.array(
            [
                n_level @ (special.digamma(r + levels) - special.digamma(r))
                + total * np.log(alpha)
                - n @ ((1 - gone) * with_age + gone * with_t),
                total * r / alpha - n @ (rx * ((1 - gone) / (alpha + age) + gone / (alpha + t_x))),
                0.0,
                n_level @ (psi_ab + special.digamma(b + levels) - special.digamma(b))
                - n_gone @ (1 / (b + before)),
            ]
        )
        slope[2] = n_level @ psi_ab + n_gone.sum() / a
        values = np.array([r, alpha, a, b])
        size = -float(told) / total + penalty * float(values @ values)
        return size, (-slope / total + 2 * penalty * values) * values

    return loss
