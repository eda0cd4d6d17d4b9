"""What each campaign is worth by itself: the parts of the whole that the global holdout measures.

A campaign is read by its own holdout, or, where it has none, by its experiments: those of a
campaign with a holdout are inside its effect and would count twice. Read next: `programme`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from campaigns.metrics import MetricDefinition
from engine.core.model.campaigns import Experiment, Program
from engine.core.model.instants import Instant
from engine.readout.assigned import exposed_units
from engine.readout.impacts import impact, impact_of
from engine.readout.metric_sums import Unit
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.distributions import normal_quantile
from experiments.programme.holdout import Impact
from experiments.programme.meta import PastEffect
from experiments.programme.reconcile import Part, Reconciliation, reconcile


@dataclass(frozen=True)
class MeasuredPart:
    """One comparison whose effect is part of the whole.

    Attributes:
        name: As in the exposure table; with the variant where there are several.
        campaign: The campaign it belongs to, "" for none.
        impact: On the units exposed to it.
        n_since: Units that a winner reached after its experiment ended.
        threshold: Standard errors its effect had to exceed to be kept on; None for what ran anyway.
    """

    name: str
    campaign: str
    impact: Impact
    n_since: int = 0
    threshold: float | None = None


def measured_parts(
    connection: Connection,
    studies: Sequence[Study],
    program: Program,
    definition: MetricDefinition,
    *,
    as_of: Instant,
    alpha: float,
) -> tuple[MeasuredPart, ...]:
    """Campaign holdouts, and the experiments of campaigns that have none (they are inside one)."""
    found: list[MeasuredPart] = []
    told: set[str] = set()
    for study in studies:
        if study.kind != "campaign holdout":
            continue
        whole = impact(connection, study, definition, as_of=as_of, alpha=alpha)
        if whole is not None and whole.total_std_error > 0:
            found.append(MeasuredPart(study.name, study.campaign, whole))
            told.add(study.campaign)
    for study in studies:
        if study.kind != "A/B test" or study.campaign in told:
            continue
        experiment = program.experiments.get((study.name, study.phase))
        if study.bandit is not None:
            continue  # Its arms' plain means mix the weights of every day: no effect.
        units = exposed_units(connection, study, as_of=as_of)
        for variant in study.treatments:
            one = impact_of(
                connection, study, units, definition, as_of=as_of, treatment=variant, alpha=alpha
            )
            if one is None or one.total_std_error == 0:
                continue
            is_winner = experiment is not None and experiment.winner == variant
            n_since = _reached_since(connection, experiment, units, as_of) if is_winner else 0
            found.append(
                MeasuredPart(
                    f"{study.name}: {variant}",
                    study.campaign,
                    one,
                    n_since,
                    normal_quantile(1 - alpha / 2) if is_winner else None,
                )
            )
    return tuple(found)


def reconciled(
    whole: Impact, parts: Sequence[MeasuredPart], definition: MetricDefinition, *, alpha: float
) -> Reconciliation | None:
    """Measured beside the sum of parts, more being better; None where nothing can be compared."""
    if not parts or whole.total_std_error == 0:
        return None
    return reconcile(_good(whole, definition), _as_parts(parts, definition), alpha=alpha)


def _reached_since(
    connection: Connection,
    experiment: Experiment | None,
    units: Sequence[Unit],
    as_of: Instant,
) -> int:
    """People whom the campaign took in after the last exposure: they all got the winner."""
    if experiment is None or not experiment.campaign or not units:
        return 0
    last = max(unit.at for unit in units)
    rows = connection.execute(
        "SELECT DISTINCT profile_id FROM enrollment WHERE campaign = ? AND entered_at > ? "
        "AND entered_at <= ?",
        (experiment.campaign, last, as_of),
    )
    return len({row[0] for row in rows} - {unit.profile_id for unit in units})


def _as_parts(parts: Sequence[MeasuredPart], definition: MetricDefinition) -> list[Part]:
    sign = 1 if definition.better == "higher" else -1
    found = []
    for part in parts:
        impact = part.impact
        effect = sign * (impact.treated - impact.held_out)
        variance = (impact.total_std_error / impact.n_treated) ** 2
        found.append(
            Part(
                effect=PastEffect(part.name, effect, variance),
                n_units=impact.n_treated + part.n_since,
                threshold=part.threshold,
            )
        )
    return found


def _good(impact: Impact, definition: MetricDefinition) -> Impact:
    """The whole with its sign turned where less is better, as the parts' are."""
    if definition.better == "higher":
        return impact
    total = impact.total
    assert total.estimate is not None
    turned = replace(
        total,
        estimate=-total.estimate,
        ci_lower=None if total.ci_upper is None else -total.ci_upper,
        ci_upper=None if total.ci_lower is None else -total.ci_lower,
    )
    return replace(impact, held_out=-impact.held_out, treated=-impact.treated, total=turned)
