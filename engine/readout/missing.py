"""What a readout may still say when some of its metrics could not be read.

The others are shown, of the same units. Without a primary metric nothing is decided, and what was
to be corrected together with it is only looked at; without a guardrail nothing is shipped.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from campaigns.metrics import WarehouseMetric
from engine.readout.plans import Reading
from engine.readout.studies import Study
from engine.readout.warehouse_metrics import Missing
from experiments.analysis.decision import Choice, Decision
from experiments.analysis.readout import Readout

STANDS: Final = ("sample ratio", "planned end", "harm")
"""Rules whose answer no other metric could change."""


def never_read(study: Study, reading: Reading) -> tuple[Missing, ...]:
    """The metrics of a bandit that lie in a warehouse; a plan of its past may still name some."""
    if study.bandit is None:
        return ()
    why = "a bandit is read by each unit's outcome, and only sums leave a warehouse"
    return tuple(
        Missing(it.name, it.title, role, why)
        for it, role in reading.metrics
        if isinstance(it, WarehouseMetric)
    )


def without(reading: Reading, missing: Sequence[Missing]) -> Reading:
    """The reading of the metrics that are there, and a note for each that is not.

    There may be none left: then the plan is the whole one, and nobody may analyse by it.
    """
    if not missing:
        return reading
    names = {it.name for it in missing}
    left = [it for it in reading.plan.metrics if it.name not in names]
    notes = [f"{it.title} ({it.role}) is missing: {it.why}." for it in missing]
    if left and _of_role(missing, "primary"):
        if any(it.role == "primary" for it in left):
            notes.append(
                "The other primary metrics were to be corrected together with it: they are"
                " exploratory here."
            )
        left = [it if it.role == "guardrail" else replace(it, role="exploratory") for it in left]
    margins = {name: it for name, it in reading.plan.margins.items() if name not in names}
    plan = replace(reading.plan, metrics=left, margins=margins) if left else reading.plan
    return replace(
        reading,
        plan=plan,
        metrics=tuple(it for it in reading.metrics if it[0].name not in names),
        notes=(*notes, *reading.notes),
    )


def held_back(readout: Readout, missing: Sequence[Missing]) -> Readout:
    """The readout with no decision that a missing metric might have changed."""
    decision = readout.decision
    if decision is None or decision.rule in STANDS:
        return readout
    if primary := _of_role(missing, "primary"):
        titles = " and ".join(it.title for it in primary)
        reason = f"{titles} could not be read, and it is what was to decide"
        decision = Decision(
            choice=Choice.INCONCLUSIVE, rule="undecided", reason=reason, metric=primary[0].title
        )
    elif (guards := _of_role(missing, "guardrail")) and decision.choice is Choice.SHIP:
        titles = " and ".join(it.title for it in guards)
        reason = f"{titles} could not be read, so that harm to it cannot be ruled out"
        decision = replace(
            decision, choice=Choice.INCONCLUSIVE, rule="undecided", reason=reason, days=None
        )
    return replace(readout, decision=decision)


def _of_role(missing: Sequence[Missing], role: str) -> list[Missing]:
    return [it for it in missing if it.role == role]
