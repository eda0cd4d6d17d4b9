"""A `score` model with `algorithm: lifetime`, from days of purchase to a value for each buyer.

What a run is made of: proof on days it had not seen, a fit on all, a value and a word for each,
and how sure the mean of all is. Pure on arrays; the engine reads the days and keeps what comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from campaigns.models import ScoreModel
from engine.core.model.instants import Instant
from engine.learning.artifact import Artifact
from engine.learning.lifetime.bg_nbd import bootstrapped
from engine.learning.lifetime.groups import Groups
from engine.learning.lifetime.proving import Proof, fit, prove
from engine.learning.lifetime.repeats import WEEK, Repeats, repeats_of
from engine.learning.lifetime.value import Lifetime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS: Final = 40
"""Of the bootstrap behind the interval of the mean: each is a fit."""
WORDS: Final = ((0.7, "active"), (0.3, "fading"), (0.0, "gone"))
"""What somebody is called from this chance on that they will buy again."""


@dataclass(frozen=True, eq=False)
class Learnt:
    """What one training gave.

    Attributes:
        ids: Buyers, ascending; who never bought has no value.
        values: Purchases, or money, that each brings within the target's span.
        alive: The chance that each will buy again some day; `labels` puts it in a word.
        metrics: As JSON knows it: `primary`, `figures`, `calibration`, `parameters`.
        is_better: Whether it foretells surely better than no model does; `why` in a sentence.
    """

    model: Lifetime
    ids: "NDArray[np.int64]"
    values: "NDArray[np.float64]"
    alive: "NDArray[np.float64]"
    labels: tuple[str, ...]
    metrics: Mapping[str, Any]
    is_better: bool
    why: str
    notes: tuple[str, ...]

    def artifact(self) -> Artifact:
        """The model as arrays and a schema; `Lifetime.of` reads it."""
        return self.model.artifact()


def learn(
    ids: Any,
    times: Any,
    amounts: Any,
    *,
    model: ScoreModel,
    as_of: Instant,
    rng: "np.random.Generator",
    draws: int = DRAWS,
) -> Learnt:
    """Train on days of purchase, one row each (`History.purchases`).

    Raises:
        Refused: If too few came back, or the numbers cannot be.
    """
    has_value = model.target.measure == "sum"
    within = model.target.within / WEEK
    proof = prove(ids, times, amounts, as_of=as_of, within=model.target.within, has_value=has_value)
    repeats = repeats_of(ids, times, amounts, as_of=as_of)
    fitted = fit(repeats, has_value=has_value)
    alive = fitted.alive(repeats)
    values = (fitted.value if has_value else fitted.expected_purchases)(repeats, within=within)
    metrics = {
        **_metrics(proof, has_value=has_value),
        "mean_to_come": _mean_to_come(fitted, repeats, within, values, rng=rng, draws=draws),
        "parameters": _parameters(fitted),
    }
    spend_notes = () if fitted.spend is None else fitted.spend.notes
    return Learnt(
        model=fitted,
        ids=repeats.ids,
        values=values,
        alive=alive,
        labels=tuple(next(word for least, word in WORDS if it >= least) for it in alive.tolist()),
        metrics=metrics,
        is_better=proof.is_better,
        why=proof.why,
        notes=(*fitted.purchases.notes, *spend_notes, *_doubts(proof, within)),
    )


def _mean_to_come(
    fitted: Lifetime,
    repeats: Repeats,
    within: float,
    values: "NDArray[np.float64]",
    *,
    rng: "np.random.Generator",
    draws: int,
) -> dict[str, float]:
    """Mean per buyer with a 95 % interval for what the parameters of buying leave open.

    It is of the expectation: what really comes scatters around it besides, and that people differ
    in spend is taken as fitted.
    """
    import numpy as np

    groups = Groups.of(repeats.x, repeats.t_x, repeats.age)
    some = groups.sample(5_000)

    def mean(it: Any) -> float:
        told = it.expected_purchases(some.x, some.t_x, some.age, within=within)
        return float(some.n @ told / some.n.sum())

    centre = mean(fitted.purchases)
    drawn = [mean(it) for it in bootstrapped(groups, fitted.purchases, rng=rng, draws=draws)]
    low, high = np.quantile(drawn, [0.025, 0.975]) / centre if drawn and centre > 0 else (1, 1)
    value = float(values.mean())
    return {"value": value, "low": value * float(low), "high": value * float(high)}


def _metrics(proof: Proof, *, has_value: bool) -> dict[str, Any]:
    primary = {
        "name": "RMSE",
        "value": proof.rmse,
        "low": proof.rmse_lower,
        "high": proof.rmse_upper,
    }
    figures: list[dict[str, Any]] = [
        {**primary, "baseline": min(proof.rivals.values())},
        {"name": "MAE", "value": proof.mae},
        {"name": "foretold / came", "value": proof.ratio},
    ]
    return {
        "primary": primary,
        "figures": figures,
        "unit": "money" if has_value else "purchases",
        "proof_weeks": proof.within,
        "rivals": dict(proof.rivals),
        "calibration": [
            {"repeats": it.repeats, "n": it.n, "predicted": it.predicted, "actual": it.actual}
            for it in proof.rows
        ],
    }


def _parameters(fitted: Lifetime) -> dict[str, float]:
    bought, spend = fitted.purchases, fitted.spend
    found = {"r": bought.r, "alpha": bought.alpha, "a": bought.a, "b": bought.b}
    if spend is not None:
        found |= {"p": spend.p, "q": spend.q, "v": spend.v, "correlation": spend.correlation}
    return found


def _doubts(proof: Proof, within: float) -> tuple[str, ...]:
    found = []
    if proof.within < within - 0.01:
        found.append(
            f"the log is short: {within:.0f} weeks are foretold, proved over {proof.within:.0f}"
        )
    if proof.ratio is not None and not 0.75 < proof.ratio < 1.33:
        found.append(
            f"over the weeks it had not seen, {proof.ratio:.2f} of what came was foretold: right in"
            " order, off in sum (seasons, or a shop that changed)"
        )
    return tuple(found)
