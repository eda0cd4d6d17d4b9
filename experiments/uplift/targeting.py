"""Learn whom to treat on one half, prove on the other that it pays, and hand out the rule.

Accepted only if, on units that taught it nothing, the policy earns surely more than each thing one
could do without it: treat as many drawn by lot, treat as many who are likeliest to respond (who
mostly would have anyway), treat everyone, treat nobody. Each must be beaten with a lower bound
above zero, so the best of them is, too. The rule keeps a slice that is treated by lot for ever:
without it the next model cannot be trained, and nobody would notice when this one stops being true.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from experiments.errors import PlanError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Interval, absolute_lift, normal
from experiments.uplift.bases import Base
from experiments.uplift.effects import Effects
from experiments.uplift.learners import Learner, learn
from experiments.uplift.pseudo import outcomes, pseudo
from experiments.uplift.qini import DRAWS, Qini, qini
from experiments.uplift.units import Units
from experiments.uplift.values import Terms, compared, top_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

EXPLORE_MIN: Final = 0.05
RIVALS: Final = {
    "random": "as many drawn by lot",
    "response": "as many of the likeliest to respond",
    "everyone": "everyone the budget allows",
    "nobody": "nobody at all",
}


AS_IT_IS: Final = Terms()
"""Messages cost nothing and everyone may get one: then only harm to some makes targeting pay."""


@dataclass(frozen=True)
class Rule:
    """Whom to treat, as a chance that is to be logged with every decision.

    Attributes:
        above: Predicted effects above it are treated.
        at_edge: Chance of those exactly there, where scores are tied.
        explore: Share of units that are treated by the toss of a coin instead.
    """

    above: float
    at_edge: float
    explore: float = EXPLORE_MIN

    def __post_init__(self) -> None:
        if not EXPLORE_MIN <= self.explore <= 1:
            raise PlanError(
                f"explore is {self.explore}; allowed is {EXPLORE_MIN} to 1: without units"
                " treated by lot the next model cannot be trained, nor this one be checked"
            )

    def chances(self, effects: Any) -> Array:
        """Chance of each unit to be treated, from its predicted effect; never 0 nor 1."""
        import numpy as np

        given = np.asarray(effects, dtype=float)
        wished = (given > self.above) + (given == self.above) * self.at_edge
        # Who has no prediction is explored: nothing is known of whom a model cannot place.
        wished = np.where(np.isfinite(given), wished, 0.5)
        mixed: Array = self.explore / 2 + (1 - self.explore) * wished
        return mixed


@dataclass(frozen=True, eq=False)
class Targeting:
    """What was learnt, how it did on the other half, and whether it may be used.

    Attributes:
        effects: The model that was judged: it saw the first half only.
        share: Of the units of the second half, those the policy would treat.
        values: By rival of `RIVALS`: mean worth per unit of the rival (control) and of the policy
            (treatment), ready for any kind of evidence.
        gains: Their differences with two-sided intervals.
        average: Worth per unit of treating everyone, budget or not, against treating nobody.
        qini: Of the ranking, on the second half.
        why: In words that a marketer can read, accepted or not.
    """

    effects: Effects
    rule: Rule
    terms: Terms
    share: float
    values: Mapping[str, Estimates]
    gains: Mapping[str, Interval]
    average: Interval
    qini: Qini
    is_accepted: bool
    why: str

    def figures(self) -> dict[str, Any]:
        """What it was judged by, as plain data for JSON: nothing here is NaN or infinite."""
        return {
            "is_accepted": self.is_accepted,
            "why": self.why,
            "share": self.share,
            "n_judged": next(iter(self.values.values())).n_treatment,
            "worth": next(iter(self.values.values())).treatment,
            "everyone": _plain(self.average),
            "gains": {name: _plain(it) for name, it in self.gains.items()},
            "qini": _plain(self.qini.area),
            "rule": asdict(self.rule),
            "terms": asdict(self.terms),
        }


def target(
    units: Units,
    *,
    rng: np.random.Generator,
    terms: Terms = AS_IT_IS,
    learner: Learner = "dr",
    base: Base = "linear",
    explore: float = EXPLORE_MIN,
    alpha: float = 0.05,
    draws: int = DRAWS,
) -> Targeting:
    """Learn on a random half, judge on the other.

    Args:
        rng: Draws the halves, folds and bootstrap; the same one gives the same answer.
        explore: Share of the deployed rule that is treated by lot; at least `EXPLORE_MIN`.
        draws: Of the Qini interval's bootstrap.
    Raises:
        DataError: If an arm of a half is too small to learn from or to judge by.
    """
    import numpy as np

    is_first = np.zeros(units.n, dtype=bool)
    is_first[rng.permutation(units.n)[: units.n // 2]] = True
    first, second = units.rows(is_first), units.rows(~is_first)
    for half in (first, second):
        half.require_enough()
    effects = learn(first, learner=learner, base=base, rng=rng)
    # Models of the first half are models of other units than the second's: no folds are needed.
    told = pseudo(second, outcomes(first, base=base, rng=rng))
    scores = effects.predict(second.features)
    share = min(terms.budget, float((terms.worth(scores) > 0).mean()))
    policy = top_share(scores, share)
    rivals: dict[str, Any] = {
        "random": share,
        "response": top_share(told.treated, share),
        "everyone": terms.budget,
        "nobody": 0.0,
    }
    values = {
        name: compared(told.psi, policy, rival, terms=terms) for name, rival in rivals.items()
    }
    gains = {name: _interval(it, alpha) for name, it in values.items()}
    is_accepted = all((it.ci_lower or 0.0) > 0 for it in gains.values())
    average = _interval(compared(told.psi, 1.0, 0.0, terms=terms), alpha)
    return Targeting(
        effects=effects,
        rule=_rule(scores, policy, explore=explore),
        terms=terms,
        share=share,
        values=values,
        gains=gains,
        average=average,
        qini=qini(second, scores, rng=rng, alpha=alpha, draws=draws),
        is_accepted=is_accepted,
        why=_why(gains, share=share, terms=terms),
    )


def _plain(interval: Interval) -> dict[str, float | None]:
    return {"value": interval.estimate, "low": interval.ci_lower, "high": interval.ci_upper}


def _interval(estimates: Estimates, alpha: float) -> Interval:
    return absolute_lift(estimates, critical=normal(estimates, alpha=alpha).critical)


def _rule(scores: Any, policy: Any, *, explore: float) -> Rule:
    """The threshold that made the policy."""
    import numpy as np

    chosen = policy > 0
    if not chosen.any():
        return Rule(float(np.max(scores)), 0.0, explore)
    edge = float(scores[chosen].min())
    at_edge = float(policy[scores == edge].max())
    return Rule(edge, at_edge, explore)


def _why(gains: Mapping[str, Interval], *, share: float, terms: Terms) -> str:
    if share == 0:
        return "Refused: the model expects nobody to be worth the cost of a message."
    failed = [name for name, it in gains.items() if not (it.ci_lower or 0.0) > 0]
    if not failed:
        least = min(gains.values(), key=lambda it: it.ci_lower or 0.0)
        return (
            f"Accepted: treating the {share:.0%} it picks earns more than"
            f" {', '.join(RIVALS.values())}; at the least {_told(least)} per person."
        )
    reasons = []
    for name in failed:
        it = gains[name]
        if it.ci_lower is None:
            reasons.append(f"{RIVALS[name]} is the same thing")
        else:
            reasons.append(f"over {RIVALS[name]} it gains {_told(it)} per person")
    everyone = "" if terms.budget < 1 or share < 1 else " Everyone seems worth a message."
    return f"Refused: the gain is not surely above zero: {'; '.join(reasons)}.{everyone}"


def _told(interval: Interval) -> str:
    if interval.ci_lower is None or interval.ci_upper is None:
        return f"{interval.estimate or 0.0:.4g}"
    return f"{interval.estimate:.4g} ({interval.ci_lower:.4g} to {interval.ci_upper:.4g})"
