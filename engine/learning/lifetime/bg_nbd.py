"""How often somebody comes and when they stop: the BG/NBD model of repeat buying.

Somebody who is still there buys at a rate of their own (gamma: r, alpha), and stops after any
purchase with a chance of their own (beta: a, b). Whoever never came back counts as still there:
only a purchase can be the last. Fitted to `repeats`, in weeks.
Source: Fader, Hardie, Lee, "Counting Your Customers the Easy Way" (Marketing Science 24, 2005).
"""

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any, Final

from engine.learning.artifact import Artifact
from engine.learning.lifetime.groups import Groups, columns, loss_of
from engine.learning.lifetime.likelihood import likeliest
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KIND: Final = "bg_nbd"
BUYERS_LEAST: Final = 20
"""Fewer who came back say nothing of how people differ."""
SAMPLE: Final = 20_000
"""Groups among which starts are tried."""
SCALE: Final = 1.0
"""The longest age while fitting: parameters are of one size then, whatever the unit of time."""
STARTS: Final = ((1.0, 0.1, 1.0, 1.0), (0.25, 0.1, 0.8, 2.5), (2.0, 0.5, 0.2, 3.0))
NEAR: Final = 1e-5
"""How near to a pole of the formula its two sides are averaged."""
CLOSED_MOST: Final = 200.0
"""The r or b beyond which terms of the closed form cancel: integrated then, to three digits."""
NODES: Final = 128
BLOCK: Final = 20_000
"""People integrated at a time."""


@dataclass(frozen=True)
class BgNbd:
    """A fitted model; alpha is in the unit of age.

    Attributes:
        log_likelihood: Of all people together, without the penalty.
        n: People it was fitted to.
        notes: What the data did not tell, in sentences.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float = 0.0
    n: int = 0
    notes: tuple[str, ...] = ()

    def alive(self, x: Any, t_x: Any, age: Any) -> "Floats":
        """The chance that each will buy again some day."""
        import numpy as np
        from scipy import special

        x, t_x, age = columns(x, t_x, age)
        again = np.maximum(x, 1)
        odds = (self.r + x) * np.log((self.alpha + age) / (self.alpha + t_x))
        odds += np.log(self.a) - np.log(self.b + again - 1)
        told: Floats = np.where(x > 0, special.expit(-odds), 1.0)
        return told

    def expected_purchases(self, x: Any, t_x: Any, age: Any, *, within: float) -> "Floats":
        """Days of purchase of each in the next `within` units of time.

        Raises:
            ValueError: If `within` is negative.
        """
        if not within >= 0:
            raise ValueError(f"a span of {within} lies in the past; it must be 0 or more")
        x, t_x, age = columns(x, t_x, age)
        told: Floats = self.alive(x, t_x, age) * self._while_there(x, age, within)
        return told

    def expected_of_new(self, *, within: float) -> float:
        """Days of purchase of somebody on whose first day we stand."""
        return float(self.expected_purchases([0.0], [0.0], [0.0], within=within)[0])

    def _while_there(self, x: "Floats", age: "Floats", within: float) -> "Floats":
        """Of whoever is still there; what the closed form cannot compute is integrated."""
        import numpy as np

        most = (self.r + x) / (self.alpha + age) * within  # if nobody ever stopped
        told = self._closed(x, age, within)
        with np.errstate(invalid="ignore"):
            is_off = ~(np.isfinite(told) & (told >= 0) & (told <= most * (1 + 1e-9)))
        if max(self.r, self.b) > CLOSED_MOST:
            is_off[:] = True
        for start in range(0, int(is_off.sum()), BLOCK):
            rows = np.flatnonzero(is_off)[start : start + BLOCK]
            told[rows] = self._integrated(x[rows], age[rows], within)
        return told

    def _integrated(self, x: "Floats", age: "Floats", within: float) -> "Floats":
        """The mean over chances p to stop of (1 - (1 + p t / (alpha + T))**-(r + x)) / p.

        It is what equation 10 sums up, for a beta of a and b + x. Gauss and Legendre's nodes stand
        at quantiles of that beta.
        """
        import numpy as np
        from scipy import special

        node, weight = np.polynomial.legendre.leggauss(NODES)
        levels, level = np.unique(x, return_inverse=True)
        chance = special.betaincinv(self.a, self.b + levels[:, None], (node + 1) / 2)
        stops = np.maximum(chance, 1e-300)[level]
        rate = (self.r + x)[:, None]
        some = -np.expm1(-rate * np.log1p(stops * within / (self.alpha + age)[:, None])) / stops
        told: Floats = some @ weight / 2
        return told

    def _closed(self, x: "Floats", age: "Floats", within: float) -> "Floats":
        # The published sum has a pole at a = 1 where both its sides vanish, and one where the
        # hypergeometric's third argument is 0.
        third = self.a + self.b + x - 1
        if abs(self.a - 1) > NEAR and bool((abs(third) > NEAR).all()):
            return self._sum(self.a, x, age, within)
        low, high = self.a - 2 * NEAR, self.a + 2 * NEAR
        told: Floats = (self._sum(low, x, age, within) + self._sum(high, x, age, within)) / 2
        return told

    def _sum(self, a: float, x: "Floats", age: "Floats", within: float) -> "Floats":
        """Equation 10 of the paper, its hypergeometric turned by Euler's transformation.

        As published 2F1(r + x, b + x; ...) overflows for whoever buys often; turned, its first two
        arguments no longer grow with x.
        """
        import numpy as np
        from scipy import special

        z = within / (self.alpha + age + within)
        third = a + self.b + x - 1
        turned = special.hyp2f1(a + self.b - 1 - self.r, a - 1, third, z)
        told: Floats = third / (a - 1) * (1 - np.exp((a - 1) * np.log1p(-z)) * turned)
        return told

    def artifact(self) -> Artifact:
        """As arrays and a schema."""
        import numpy as np

        values = np.array([self.r, self.alpha, self.a, self.b])
        schema = {
            "kind": KIND,
            "parameters": ["r", "alpha", "a", "b"],
            "log_likelihood": self.log_likelihood,
            "n": self.n,
            "notes": list(self.notes),
        }
        return Artifact({"parameters": values}, schema)

    @classmethod
    def of(cls, artifact: Artifact) -> "BgNbd":
        """What `artifact` kept."""
        r, alpha, a, b = (float(it) for it in artifact.arrays["parameters"])
        told = artifact.schema
        return cls(r, alpha, a, b, told["log_likelihood"], told["n"], tuple(told["notes"]))


def fit_bg_nbd(x: Any, t_x: Any, age: Any, *, penalty: float = 0.0) -> BgNbd:
    """The likeliest model of these people.

    Args:
        x, t_x, age: As `Repeats` has them; any one unit of time.
        penalty: Of the squares of the parameters, with time scaled to `SCALE`; holds them where
            few people came back.
    Raises:
        Refused: If hardly anybody came back, no time has passed, or the numbers contradict.
    """
    return fit_groups(Groups.of(x, t_x, age), penalty=penalty)


def fit_groups(groups: Groups, *, penalty: float = 0.0, near: BgNbd | None = None) -> BgNbd:
    """The likeliest model of grouped people; `near` is a model to begin from.

    Raises:
        Refused: As `fit_bg_nbd`.
    """
    n, n_back = groups.n.sum(), groups.n[groups.x > 0].sum()
    if not groups.age.max() > 0:
        raise Refused("no time has passed since anybody's first purchase", "wait some weeks")
    if n_back < BUYERS_LEAST:
        raise Refused(
            f"{n_back:.0f} people of {n:.0f} bought on a second day ({BUYERS_LEAST} are needed)",
            "wait for repeat purchases, or widen the model's `among`",
        )
    scale = SCALE / float(groups.age.max())
    starts = STARTS if near is None else ((near.r, near.alpha * scale, near.a, near.b),)
    found = likeliest(
        loss_of(groups, scale, penalty),
        loss_of(groups.sample(SAMPLE), scale, penalty),
        starts,
        of="BG/NBD",
        is_near=near is not None,
    )
    r, alpha, a, b = (float(it) for it in found.values)
    likelihood = -(found.loss - penalty * float(found.values @ found.values)) * float(n)
    # Each purchase has a density in time, and that is per unit.
    likelihood += float(groups.n @ groups.x) * log(scale)
    return BgNbd(r, alpha / scale, a, b, likelihood, int(n), _notes(found.at_edge))


def bootstrapped(
    groups: Groups, fitted: BgNbd, *, rng: "np.random.Generator", draws: int = 100
) -> list[BgNbd]:
    """Models as they would have come out had other people of the same kind bought.

    People are drawn anew with replacement. Of more than `SAMPLE` groups a sample is drawn from, and
    deviations are shortened by the square root of its share of people (m out of n bootstrap).
    """
    import numpy as np

    some = groups.sample(SAMPLE)
    size = int(some.n.sum())
    centre = fitted if some is groups else fit_groups(some, near=fitted)
    shrink = float(np.sqrt(size / groups.n.sum()))
    found = []
    for _ in range(draws):
        drawn = rng.multinomial(size, some.n / size).astype(float)
        try:
            then = fit_groups(some.counted(drawn), near=centre)
        except Refused:
            continue
        away = np.log(_values(then)) - np.log(_values(centre))
        r, alpha, a, b = (float(it) for it in _values(fitted) * np.exp(shrink * away))
        found.append(BgNbd(r, alpha, a, b))
    return found


def _values(model: BgNbd) -> "Floats":
    import numpy as np

    return np.array([model.r, model.alpha, model.a, model.b])


_MEANING: Final = (
    "people hardly differ in how often they buy",
    "people hardly differ in how often they buy",
    "nobody seems to stop buying",
    "nobody seems to stop buying",
)


def _notes(at_edge: tuple[bool, ...]) -> tuple[str, ...]:
    found = {words: None for is_out, words in zip(at_edge, _MEANING, strict=True) if is_out}
    return tuple(f"{words}: the model stands at its limit" for words in found)
