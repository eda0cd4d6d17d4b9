"""Plan + aggregates -> readout. The sample ratio is checked first and can veto every verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import NamedTuple

from experiments.analysis.advising import advised
from experiments.analysis.collected import Collected
from experiments.analysis.comparing import compare, evidence_of, means_of
from experiments.analysis.diluting import with_diluted
from experiments.analysis.judging import judged
from experiments.analysis.looking import Seen, cumulative, seen
from experiments.analysis.plan import ExperimentPlan, Method, held_to
from experiments.analysis.readout import (
    Comparison,
    Provenance,
    Quality,
    Readout,
    named_mismatches,
)
from experiments.analysis.stopping import with_final
from experiments.analysis.unfolding import Segmented, compliers, over_time, segments, wear
from experiments.errors import DataError
from experiments.evidence.bayes import NOT_PEEKING_PROOF
from experiments.evidence.compare import Interval, relative_lift
from experiments.evidence.populations import Population, sample_ratios
from experiments.evidence.srm import SampleRatio, sample_ratio
from experiments.sums.aggregates import Aggregates

__all__ = ["ExperimentPlan", "Method", "analyze"]

MISMATCH = "sample ratio mismatch"
CLUSTERS_WHOLE = (
    "Clusters were randomized: days, segments and those reached are not told apart, because by"
    " units they would look surer than they are."
)
NOTHING_BESIDE = Collected()


def analyze(
    plan: ExperimentPlan,
    aggregates: Mapping[str, Aggregates],
    *,
    notes: Sequence[str] = (),
    collected: Collected = NOTHING_BESIDE,
) -> Readout:
    """Read an experiment.

    Args:
        plan: What the files say; where `collected` has the frozen plan, that one is read by.
        aggregates: Per variant, over all columns the plan's metrics name.
        notes: What the reader must know of how the data was collected.
        collected: What is known beside the sums.
    Raises:
        DataError: If a variant is missing or unknown, or has too few units.
    """
    record = collected.record
    if record is None:
        plan, record = held_to(collected.kept_plan, plan)
    counts = _counts(plan, collected.clusters or aggregates)
    srm = _ratio(plan, counts, collected)
    populations = _populations(plan, collected)
    found = named_mismatches(srm, populations.off_plan)
    is_explained = collected.acknowledged_of is None or collected.acknowledged_of.issuperset(found)
    quality = Quality(
        populations=populations.ratios,
        off_plan=populations.off_plan,
        excluded=collected.excluded,
        caps=collected.caps,
        n_unreadable=collected.n_unreadable,
        acknowledged=collected.acknowledged.strip() if is_explained else "",
    )
    withheld = MISMATCH if found and not quality.acknowledged else collected.withheld
    counted = "clusters" if collected.clusters else collected.counted
    shown = seen(plan, aggregates, collected)
    comparisons = () if shown.awaited else _compared(plan, shown, collected, withheld=withheld)
    may_unfold = not withheld and not shown.awaited
    segmented = segments(plan, collected) if may_unfold else Segmented()
    return Readout(
        name=plan.name,
        control=plan.control,
        n={name: counts[name] for name in (plan.control, *plan.treatments)},
        srm=srm,
        comparisons=comparisons,
        alpha=plan.alpha,
        method=plan.method,
        correction=plan.correction,
        notes=(*_notes(plan, shown, collected, notes), *segmented.left_out),
        awaited=shown.awaited,
        counted=counted,
        decision=advised(
            plan,
            comparisons,
            n=sum(counts.values()),
            collected=collected,
            withheld=_mismatch(srm, quality.off_plan, counted) if withheld == MISMATCH else "",
            otherwise=withheld if withheld != MISMATCH else "",
            awaited=shown.awaited,
        ),
        plan=record,
        over_time=over_time(plan, collected) if may_unfold else (),
        segments=segmented.read,
        compliers=compliers(plan, collected) if may_unfold else (),
        wear=wear(plan, collected) if may_unfold else (),
        quality=quality,
        provenance=Provenance(
            as_of="" if collected.as_of is None else collected.as_of.astimezone(UTC).isoformat(),
            snapshot=collected.snapshot,
            engine_version=collected.engine_version,
        ),
    )


def _counts(plan: ExperimentPlan, aggregates: Mapping[str, Aggregates]) -> dict[str, int]:
    if unknown := sorted(set(aggregates) - set(plan.weights)):
        raise DataError(f"variant {unknown[0]!r} is in the data but not in the plan")
    counts = {name: aggregates[name].n if name in aggregates else 0 for name in plan.weights}
    for name, n in counts.items():
        if n < 2 and (plan.weights[name] > 0 or name == plan.control):
            raise DataError(f"variant {name!r} has {n} units; at least 2 are needed")
    return counts


def _ratio(plan: ExperimentPlan, counts: Mapping[str, int], collected: Collected) -> SampleRatio:
    """The sample ratio: read once by chi-square, watched by evidence that bears many looks.

    Watched means that the same experiment is read again and again as its units come in.
    """
    if collected.sample_ratio is not None:
        return collected.sample_ratio
    is_watched = collected.as_of is not None and plan.method in ("sequential", "group_sequential")
    looks = [
        {name: arms[name].n if name in arms else 0 for name in plan.weights}
        for arms in cumulative(collected.days).values()
    ]
    return sample_ratio(
        counts,
        weights=plan.weights,
        earlier=looks[:-1] if is_watched else (),
        watched=is_watched,
        planned_sample=None if collected.is_open_ended else plan.planned_sample,
    )


class _Populations(NamedTuple):
    """`off_plan` names those whose mismatch withholds the verdicts."""

    ratios: dict[str, SampleRatio]
    off_plan: tuple[str, ...]


def _populations(plan: ExperimentPlan, collected: Collected) -> _Populations:
    """The sample ratio of each population that has anybody in it, corrected for their number."""
    given = [
        Population(name, dimension, [{it: counts.get(it, 0) for it in plan.weights}])
        for dimension, levels in collected.populations.items()
        for name, counts in levels.items()
        if sum(counts.values())
    ]
    read = {
        f"{it.population.dimension} {it.population.name}": it
        for it in sample_ratios(given, weights=plan.weights, watched=False)
    }
    return _Populations(
        {name: it.ratio for name, it in read.items() if it.ratio is not None},
        tuple(name for name, it in read.items() if it.vetoes and not it.passed),
    )


def _compared(
    plan: ExperimentPlan, shown: Seen, collected: Collected, *, withheld: str
) -> tuple[Comparison, ...]:
    arms = shown.arms
    drafts = [
        compare(
            plan,
            metric,
            variant,
            arms,
            collected=collected,
            earlier=shown.earlier,
            fractions=shown.fractions,
        )
        for metric in plan.metrics
        for variant in plan.treatments
        if variant in arms and arms[variant].n >= 2
    ]

    drafts = [
        with_diluted(plan, with_final(plan, it, shown, collected), collected) for it in drafts
    ]

    def at_level(draft: Comparison, alpha: float) -> Interval:
        assert draft.estimates is not None
        again, metric, variant = replace(plan, alpha=alpha), draft.metric, draft.variant
        if draft.one_sided is not None:  # Not read off its estimates.
            return compare(
                again, metric, variant, arms, collected=collected, earlier=shown.earlier,
                fractions=shown.fractions, tuned_to=plan.alpha,
            ).effect.lift_rel  # fmt: skip
        looks = [means_of(plan, metric, variant, it).main for it in shown.earlier]
        test = evidence_of(
            again, variant, [*looks, draft.estimates], shown.fractions, tuned_to=plan.alpha
        )
        return relative_lift(draft.estimates, critical=test.critical)

    return judged(plan, drafts, withheld=withheld, at_level=at_level)


def _notes(
    plan: ExperimentPlan, shown: Seen, collected: Collected, notes: Sequence[str]
) -> tuple[str, ...]:
    said = list(notes)
    if collected.clusters and any((collected.days, collected.dimensions, collected.received)):
        said.append(CLUSTERS_WHOLE)
    if shown.note:
        said.append(shown.note)
    if plan.method == "bayesian" and plan.prior is None:
        said.append(NOT_PEEKING_PROOF)
    return tuple(said)


def _mismatch(srm: SampleRatio, off_plan: Sequence[str], counted: str) -> str:
    """What the planned shares do not explain."""
    if srm.passed:
        return f"the planned shares do not explain the {counted} of {', '.join(off_plan)}"
    found = " / ".join(f"{n:,}" for n in srm.observed.values())
    return f"the variants have {found} {counted}, which the planned shares do not explain"
