"""The plan a study is read by: as it was frozen when its phase opened, or as the files say today.

A frozen plan keeps each metric's whole definition, so a metric is measured as it was planned even
if its file has changed since. Read next: `engine.release.frozen_plans`, which writes it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from campaigns.metrics import MetricDefinition, PredictedMetric, WarehouseMetric
from engine.core.clocktime import iso
from engine.core.model.campaigns import Bandit
from engine.core.model.instants import Instant
from engine.readout.metric_sums import analysed_metric
from engine.readout.studies import Study
from engine.store.connection import Connection
from experiments.analysis.plan import (
    DUNNETT_METHODS,
    ExperimentPlan,
    Method,
    PlanRecord,
    PriorBelief,
    canonical,
    canonical_json,
    differences,
    digest,
)
from experiments.evidence.equivalence import Margin
from experiments.metrics import Role

PLANNED_SAMPLE: Final = 10_000
"""Where the sequential method is tightest if nothing is planned. Fixed for all, so that no data
decides it."""
OPENS: Final = "Message Opened"
NO_DUNNETT: Final = (
    "The plan asks for Dunnett's correction, which is for one look; read by Holm's instead."
)
_ROLES: Final[dict[str, Role]] = {
    "primary": "primary",
    "secondary": "secondary",
    "guardrails": "guardrail",
}

Measured = tuple[tuple[MetricDefinition, Role], ...]


@dataclass(frozen=True)
class Reading:
    """How one study is read.

    Attributes:
        plan: With the metrics as the analysis takes them.
        metrics: The same metrics as they are measured.
        is_open_ended: Nobody planned a sample or an end.
        record: For the report.
        notes: What the plan itself makes the reader know.
    """

    plan: ExperimentPlan
    metrics: Measured
    record: PlanRecord
    is_open_ended: bool = False
    notes: tuple[str, ...] = ()


def reading_of(connection: Connection, study: Study) -> Reading:
    """The plan that holds for a study."""
    kept, started_at = _kept(connection, study)
    today = _today(study, started_at)
    content = kept or today
    metrics, notes = _measured(study, kept)
    if content.get("correction") == "dunnett" and _method(content) not in DUNNETT_METHODS:
        notes = (*notes, NO_DUNNETT)
    plan = _plan(study, content, metrics)
    is_open = content.get("planned_sample") is None and plan.ends_at is None
    if kept is None:
        plain = canonical(plan)
        unfrozen = PlanRecord(plain, digest(canonical_json(plain)), is_frozen=False)
        return Reading(plan, metrics, unfrozen, is_open, notes)
    record = PlanRecord(kept, digest(canonical_json(kept)), True, tuple(differences(kept, today)))
    return Reading(plan, metrics, record, is_open, notes)


def _kept(connection: Connection, study: Study) -> tuple[dict[str, Any] | None, Instant | None]:
    rows = connection.execute(
        "SELECT plan, started_at FROM experiment_phase WHERE experiment = ? AND phase = ?",
        (study.name, study.phase),
    )
    for text, started_at in rows:
        return (json.loads(text) if text else None), started_at
    return None, None


def never_runs(connection: Connection, study: Study, plan: ExperimentPlan) -> str:
    """Said of a phase whose end, by its plan, was before it opened; "" of another."""
    _, started_at = _kept(connection, study)
    if plan.ends_at is None or started_at is None:
        return ""
    opened = datetime.fromisoformat(iso(started_at)).astimezone(UTC)
    if plan.ends_at > opened:
        return ""
    return (
        f"it ends before it begins: its plan ends on {plan.ends_at:%Y-%m-%d}, and the phase opened"
        f" on {opened:%Y-%m-%d}; write a later ends, which opens a new phase"
    )


def _today(study: Study, started_at: Instant | None) -> dict[str, Any]:
    """What the files say, in the shape of a frozen plan."""
    analysis = dict(study.analysis)
    runs = analysis.pop("runs", None)
    if runs is not None and started_at is not None:
        analysis["ends_at"] = iso(started_at + runs)
    roles: dict[str, list[str]] = {written: [] for written in _ROLES}
    for definition, role in study.metrics:
        written = next(key for key, each in _ROLES.items() if each == role)
        roles[written].append(definition.name)
    content = {
        "name": study.name,
        "phase": study.phase,
        "control": study.control,
        "weights": dict(study.weights),
        "unit": study.unit,
        "bandit": None if study.bandit is None else _bandit(study.bandit),
        "roles": roles,
        "metrics": {it.name: msgspec.to_builtins(it) for it, _ in study.metrics},
        "method": study.method,
        "alpha": study.alpha,
        "correction": study.correction,
        **analysis,
    }
    plain: dict[str, Any] = json.loads(canonical_json(content))
    return plain


def _bandit(bandit: Bandit) -> dict[str, Any]:
    """How it learns; without contexts as before there were any, or every plan would seem edited."""
    said: dict[str, Any] = msgspec.to_builtins(bandit)
    return {key: value for key, value in said.items() if key != "contexts" or value is not None}


def _measured(study: Study, kept: Mapping[str, Any] | None) -> tuple[Measured, tuple[str, ...]]:
    """Each metric with its role: planned ones as they were planned, later ones exploratory."""
    today = {definition.name: (definition, role) for definition, role in study.metrics}
    found: dict[str, tuple[MetricDefinition, Role]] = {}
    notes: list[str] = []
    if kept is None:
        found = dict(today)
    else:
        for written, role in _ROLES.items():
            for name in kept["roles"].get(written, ()):
                if name in kept["metrics"]:
                    current = today[name][0] if name in today else None
                    found[name] = (_as_planned(kept["metrics"][name], current), role)
        found |= {name: (it, "exploratory") for name, (it, _) in today.items() if name not in found}
    # As it was frozen: what is allowed once numbers are seen is allowed too late.
    allows_opens = study.allows_opens if kept is None else bool(kept.get("opens_may_decide"))
    if not allows_opens:
        for name, (definition, role) in found.items():
            if role == "primary" and definition.match.event == OPENS:
                found[name] = (definition, "exploratory")
                notes.append(
                    f"{definition.title} counts opens, most of which machines make: it decides"
                    " nothing here and is exploratory. Name a conversion as primary."
                )
    return tuple(found.values()), tuple(notes)


def _as_planned(planned: Mapping[str, Any], current: MetricDefinition | None) -> MetricDefinition:
    """The metric as it was defined when the phase opened."""
    if current is not None:
        now = json.loads(canonical_json({"it": msgspec.to_builtins(current)}))["it"]
        if now == planned:
            return current
    # A metric from SQL was kept with its query, one that predicts with its spans.
    kind = WarehouseMetric if "source" in planned else MetricDefinition
    return msgspec.convert(planned, PredictedMetric if "predicted_from" in planned else kind)


def _method(content: Mapping[str, Any]) -> Method:
    method: Method = content.get("method", "sequential")
    return method


def _plan(study: Study, content: Mapping[str, Any], measured: Measured) -> ExperimentPlan:
    method = _method(content)
    correction = content.get("correction", "holm")
    sample = content.get("planned_sample")
    if sample is None and method == "sequential":
        sample = PLANNED_SAMPLE
    ends = content.get("ends_at")
    prior = content.get("prior")
    names = {definition.name for definition, _ in measured}
    lift = content.get("smallest_lift")
    metrics = [analysed_metric(definition, role) for definition, role in measured]
    if not any(metric.role == "primary" for metric in metrics):
        metrics = [
            replace(it, role="exploratory") if it.role != "guardrail" else it for it in metrics
        ]
    return ExperimentPlan(
        name=study.name,
        control=study.control,
        weights=study.weights,
        metrics=metrics,
        method=method,
        alpha=content.get("alpha", 0.05),
        adjust=content.get("adjust") or "lin",
        # Plans of 0.3.0 may ask for it.
        correction="holm"
        if correction == "dunnett" and method not in DUNNETT_METHODS
        else correction,
        planned_sample=sample,
        # An effect of 100 % or more is no limit for "none that matters".
        smallest_lift=lift if lift is not None and lift < 1 else None,
        ends_at=datetime.fromisoformat(ends).astimezone(UTC) if ends else None,
        looks=tuple(content.get("looks") or ()),
        spending=content.get("spending") or "obrien_fleming",
        spending_parameter=content.get("spending_parameter"),
        margins={
            name: Margin(margin["size"], relative=margin["is_relative"])
            for name, margin in (content.get("margins") or {}).items()
            if name in names
        },
        dimensions=tuple(content.get("dimensions") or ()),
        prior=PriorBelief(prior["mean"], prior["deviation"]) if prior else None,
    )
