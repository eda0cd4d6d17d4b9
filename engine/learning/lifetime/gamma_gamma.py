"""What somebody spends when they come: the Gamma-Gamma model of mean spend.

Each person's spend varies around a mean of their own, and means vary between people; whoever came
seldom is drawn to everybody's mean. It takes spend and frequency for unrelated, so it says how they
correlate. Only days after the first count, as `repeats` has them.
Source: Fader, Hardie, "The Gamma-Gamma Model of Monetary Value" (2013).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from engine.learning.artifact import Artifact
from engine.learning.lifetime.likelihood import likeliest
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.learning.lifetime.likelihood import Loss

    Floats = NDArray[np.float64]

KIND: Final = "gamma_gamma"
SPENDERS_LEAST: Final = 20
SAMPLE: Final = 50_000
"""People among whom starts are tried."""
STARTS: Final = ((1.0, 2.0, 1.0), (6.0, 4.0, 1.0), (2.0, 10.0, 10.0))
RELATED: Final = 0.3
"""The correlation from which on the model's premise is in doubt."""


@dataclass(frozen=True)
class GammaGamma:
    """A fitted model; v is in units of money.

    Attributes:
        correlation: Pearson's, of frequency and mean spend, among whom it was fitted to.
    """

    p: float
    q: float
    v: float
    correlation: float = 0.0
    log_likelihood: float = 0.0
    n: int = 0
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """Everybody's mean spend: that of whoever has shown none."""
        return self.v * self.p / (self.q - 1)

    def expected_spend(self, x: Any, spend: Any) -> "Floats":
        """What each one's next day of purchase brings; everybody's mean where none was seen."""
        import numpy as np

        x, spend = np.asarray(x, dtype=np.float64), np.asarray(spend, dtype=np.float64)
        seen = np.where((x > 0) & (spend > 0), x, 0.0)
        shown = np.where(seen > 0, spend, 0.0)
        told: Floats = self.p * (self.v + seen * shown) / (self.p * seen + self.q - 1)
        return told

    def artifact(self) -> Artifact:
        """As arrays and a schema."""
        import numpy as np

        schema = {
            "kind": KIND,
            "parameters": ["p", "q", "v"],
            "correlation": self.correlation,
            "log_likelihood": self.log_likelihood,
            "n": self.n,
            "notes": list(self.notes),
        }
        return Artifact({"parameters": np.array([self.p, self.q, self.v])}, schema)

    @classmethod
    def of(cls, artifact: Artifact) -> "GammaGamma":
        """What `artifact` kept."""
        p, q, v = (float(it) for it in artifact.arrays["parameters"])
        told = artifact.schema
        return cls(
            p, q, v, told["correlation"], told["log_likelihood"], told["n"], tuple(told["notes"])
        )


def fit_gamma_gamma(x: Any, spend: Any, *, penalty: float = 0.0) -> GammaGamma:
    """The likeliest model of those who came back and spent.

    Args:
        x: Days of purchase after the first; `spend` their mean. Rows where either is not above 0
            (never back, or all returned) are left out, and counted in a note.
        penalty: Of the squares of the parameters, with spend scaled to a mean of 1.
    Raises:
        Refused: If too few are left, all spend the same, or the mean is not finite.
    """
    import numpy as np

    x, spend = np.asarray(x, dtype=np.float64), np.asarray(spend, dtype=np.float64)
    is_spender = (x > 0) & (spend > 0) & np.isfinite(spend)
    n_off = int(((x > 0) & ~is_spender).sum())
    x, spend = x[is_spender], spend[is_spender]
    if len(x) < SPENDERS_LEAST:
        raise Refused(
            f"{len(x)} people spent on a second day ({SPENDERS_LEAST} are needed)",
            "wait for repeat purchases, or check where `learning.purchases.value` points",
        )
    if np.ptp(spend) <= 1e-9 * spend.max():
        raise Refused(
            f"everybody spends {spend[0]:g} each time",
            "foretell how many purchases, {count: true}, and multiply",
        )
    scale = 1 / float(spend.mean())
    step = max(1, len(x) // SAMPLE)
    found = likeliest(
        _loss(x, spend * scale, penalty),
        _loss(x[::step], spend[::step] * scale, penalty),
        STARTS,
        of="Gamma-Gamma",
    )
    p, q, v = (float(it) for it in found.values)
    if q <= 1:
        raise Refused(
            f"spend differs so widely that it has no mean (q = {q:.2f}; above 1 is needed)",
            "look for amounts in other currencies or units, or set a penalty",
        )
    alike = float(np.corrcoef(x, spend)[0, 1]) if np.ptp(x) > 0 else 0.0
    told = -(found.loss - penalty * float(found.values @ found.values)) * len(x)
    # Density of spend, not of its multiple.
    told += len(x) * float(np.log(scale))
    return GammaGamma(p, q, v / scale, alike, told, len(x), _notes(alike, n_off))


def _loss(x: "Floats", spend: "Floats", penalty: float) -> "Loss":
    """Mean negative log-likelihood (equation 1a of the note) of the logarithms of p, q, v."""
    import numpy as np
    from scipy import special

    with_x, with_spend, bought = np.log(x), np.log(spend), x * spend

    def loss(logs: "Floats") -> "tuple[float, Floats]":
        p, q, v = np.exp(logs)
        px, with_v = p * x, np.log(bought + v)
        told = special.gammaln(px + q) - special.gammaln(px) - special.gammaln(q)
        told += q * np.log(v) + (px - 1) * with_spend + px * with_x - (px + q) * with_v
        turned = special.digamma(px + q)
        slope = np.array(
            [
                (x * (turned - special.digamma(px) + with_spend + with_x - with_v)).mean(),
                (turned - special.digamma(q) + np.log(v) - with_v).mean(),
                (q / v - (px + q) / (bought + v)).mean(),
            ]
        )
        values = np.array([p, q, v])
        size = -float(told.mean()) + penalty * float(values @ values)
        return size, (-slope + 2 * penalty * values) * values

    return loss


def _notes(alike: float, n_off: int) -> tuple[str, ...]:
    found = []
    if n_off:
        found.append(f"{n_off} people whose repeat purchases came to nothing are left out of spend")
    if abs(alike) > RELATED:
        found.append(
            f"who buys often spends {'more' if alike > 0 else 'less'} a time (correlation"
            f" {alike:.2f}): the model takes the two for unrelated, so values are rough"
        )
    return tuple(found)
