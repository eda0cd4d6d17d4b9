"""What choosing by context was worth: within contexts, as a policy that ran, and beforehand.

Three questions that one number per arm leaves open. Within each context every arm stands against
the control. The policy that ran (the learnt versions, without the explored slice) stands against
the control for everybody and against each arm for everybody: what is said of the best single arm
is the least sure of these, since which one is best is not known either. And what context could be
worth at all is read from units that nobody had learnt to draw.
Read next: `experiments.bandits.cells`, `experiments.bandits.contextual_worth`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from campaigns.metrics import MetricDefinition
from engine.core.model.instants import Instant
from engine.readout.bandits import PLANNED, BanditLog, cells_of, summed, values_of
from engine.readout.plans import Reading
from engine.store.connection import Connection
from experiments.bandits.cells import AS_RAN, Cell, always, contrast, require_support
from experiments.bandits.learning import WARM_UP
from experiments.bandits.weighted import weighted_estimates
from experiments.errors import DataError
from experiments.estimation.estimates import Estimates
from experiments.evidence.compare import Test, normal
from experiments.evidence.sequential import always_valid

if TYPE_CHECKING:
    import numpy as np

SEED: Final = 20261124
"""Of the folds: the same data give the same bytes."""


@dataclass(frozen=True)
class ContextFindings:
    """What a contextual bandit's log says beside its arms.

    Attributes:
        within: By treatment and context, on the deciding metric; contexts with too little absent.
        described: Units and weights of each context: no effect is in them.
        effects: In words, the policy's worth and what context is worth, or why neither can be read.
    """

    within: Mapping[str, Mapping[str, Estimates]]
    described: tuple[str, ...]
    effects: tuple[str, ...]


def context_findings(
    connection: Connection,
    log: BanditLog,
    metric: MetricDefinition,
    *,
    reading: Reading,
    as_of: Instant,
) -> ContextFindings:
    """Read the contexts of one bandit on the metric that it learns from."""
    import numpy as np

    values = values_of(connection, log.drawn, metric, as_of=as_of)
    cells = cells_of(log, summed(log, log.drawn, values))
    control = log.experiment.control
    treatments = [arm for arm in log.arms if arm != control]
    within: dict[str, dict[str, Estimates]] = {arm: {} for arm in treatments}
    left_out: list[str] = []
    for name in log.contexts:
        own = [it.batch for it in cells if it.context == name]
        for arm in treatments:
            few = min(sum(it.of(each).n for it in own) for each in (control, arm))
            if few < WARM_UP:
                left_out.append(
                    f"{arm} among {name} is not compared: one of the arms has {few} mature units"
                    f" there; at least {WARM_UP} are needed."
                )
                continue
            within[arm][name] = weighted_estimates(own, control=control, treatment=arm)
    effects = [*left_out, *_policy_worth(cells, log.arms, control, metric, reading)]
    rng = np.random.default_rng(SEED)
    effects.append(f"What context is worth: {_context_worth(log, values, rng, reading)}")
    return ContextFindings(within, tuple(_described(log)), tuple(effects))


def _described(log: BanditLog) -> list[str]:
    """Of each context: how many mature units every arm has, and the weights in force."""
    units: Counter[tuple[str, str]] = Counter((it.context, it.variant) for it in log.drawn)
    planned = {it.name: it.weight for it in log.experiment.variants}
    said = []
    for name in log.contexts:
        last = log.learnt[-1] if log.learnt else None
        weights = planned if last is None else last.contexts.get(name, last.weights)
        is_borrowed = last is not None and name not in last.contexts
        borrows = ", everybody's weights for want of units" if is_borrowed else ""
        total = sum(weights.values())
        arms = ", ".join(
            f"{arm} {weights[arm] / total:.1%} now, {units[name, arm]:,} units" for arm in log.arms
        )
        said.append(f"Context {name}: {arms}{borrows}.")
    return said


def _policy_worth(
    cells: Sequence[Cell],
    arms: Sequence[str],
    control: str,
    metric: MetricDefinition,
    reading: Reading,
) -> list[str]:
    """The policy that ran against the control and against each arm alone."""
    ran = [it for it in cells if it.batch.version != PLANNED]
    if not ran:
        return ["What choosing by context was worth cannot be read yet: nothing was learnt."]
    found: dict[str, Estimates] = {}
    try:
        require_support(ran, AS_RAN)
        for arm in arms:
            found[arm] = contrast(ran, AS_RAN, against=always(arm, ran))
    except DataError as error:
        return [f"What choosing by context was worth cannot be read: {error}."]
    said = [
        f"Choosing by context, as it ran, against {control} for everybody:"
        f" {_interval(found[control], reading)} per unit on {metric.title}."
    ]
    # The least of the lower bounds holds whichever arm is best; the upper one pays for the choice.
    lowest = min(found, key=lambda arm: found[arm].treatment - found[arm].control)
    bounds = [_bounds(it, reading) for it in found.values()]
    wide = [_bounds(it, reading, among=len(found)) for it in found.values()]
    gain = found[lowest].treatment - found[lowest].control
    said.append(
        f"Against the best single arm for everybody (it seems to be {lowest}): {gain:+.4g}"
        f" ({min(it[0] for it in bounds):+.4g} to {min(it[1] for it in wide):+.4g})."
    )
    return said


def _context_worth(
    log: BanditLog, values: Sequence[float], rng: "np.random.Generator", reading: Reading
) -> str:
    """By units drawn at the planned weights, which nobody had learnt."""
    import numpy as np

    from experiments.bandits.contextual_worth import worth_of_context
    from experiments.bandits.off_policy import Logged

    kept = [(it, value) for it, value in zip(log.drawn, values, strict=True)
            if it.version == PLANNED]  # fmt: skip
    if not kept:
        return "no unit was drawn at the planned weights; write explore: 10%."
    names, place = log.contexts, {arm: i for i, arm in enumerate(log.arms)}
    # The rest is what the others are told apart from: a column for each of those.
    context = np.array([[float(it.context == name) for name in names[:-1]] for it, _ in kept])
    chances = [[log.vectors[it.stratum][arm] for arm in log.arms] for it, _ in kept]
    try:
        logged = Logged.of([place[it.variant] for it, _ in kept], [v for _, v in kept], chances)
        found = worth_of_context(context, logged, rng=rng, alpha=reading.plan.alpha)
    except DataError as error:
        return f"not to be read yet: {error}."
    return f"{found.why} By {len(kept):,} units drawn at the planned weights; for one look."


def _interval(estimates: Estimates, reading: Reading) -> str:
    low, high = _bounds(estimates, reading)
    return f"{estimates.treatment - estimates.control:+.4g} ({low:+.4g} to {high:+.4g})"


def _bounds(estimates: Estimates, reading: Reading, *, among: int = 1) -> tuple[float, float]:
    """Two-sided; `among` so many of which the least is taken, the upper bound holds for it, too."""
    critical = _test(estimates, reading, alpha=reading.plan.alpha / among).critical
    middle = estimates.treatment - estimates.control
    reach = critical * float(estimates.difference_variance**0.5)
    return middle - reach, middle + reach


def _test(estimates: Estimates, reading: Reading, *, alpha: float) -> Test:
    """However often it is looked at, unless the plan is read once, at its end."""
    if reading.plan.method in ("fixed", "bayesian"):
        return normal(estimates, alpha=alpha)
    assert reading.plan.planned_sample is not None  # A plan of these methods has one.
    return always_valid(estimates, alpha=alpha, planned_sample=reading.plan.planned_sample)
