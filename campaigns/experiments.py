"""Experiments as written -> the core's: who is in them, what they give, how they are to be read.

Read next: `experiment_plans`, what is written where; `experiment_checks`, what is refused.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import to_builtins
from msgspec.structs import replace

from campaigns.analysis_forms import AnalysisForm, MetricsForm
from campaigns.conditions import Conditions
from campaigns.event_forms import Where
from campaigns.experiment_forms import PlannedVariantForm
from campaigns.experiment_plans import Capped, Found, Located, Served
from campaigns.expressions import compile_value
from campaigns.schema import ExperimentFile
from engine.core.clocktime import iso
from engine.core.model.campaigns import Context, Experiment, Variant
from engine.core.model.conditions import Filter


def compile_where(conditions: Conditions, found: Found) -> tuple[Filter, ...]:
    """What clients must say of themselves; what is wrong with it is reported.

    An attribute that is a declared trait is compared by the trait's type.
    """
    return compile_attributes(conditions, found.plan.where, found.file) if found.plan else ()


def compile_attributes(conditions: Conditions, where: Where, file: str) -> tuple[Filter, ...]:
    """Tests of what a client says of itself; an attribute that is a trait compares by its type."""
    filters = []
    for path, asking in where.items():
        declared = conditions.traits.get(path.split(".")[0])
        kind = declared.type if declared is not None and "." not in path else None
        filters.append(Filter(tuple(path.split(".")), conditions.asked(path, asking, kind, file)))
    return tuple(filters)


def compile_experiment(
    found: Found,
    *,
    phase: int,
    seed: str,
    where: tuple[Filter, ...] = (),
    contexts: tuple[Context, ...] | None = None,
) -> Experiment:
    """One phase of an experiment, as the core assigns by it.

    Args:
        where: What clients must say of themselves, compiled.
        contexts: What a bandit's weights depend on, compiled.
    """
    bandit = found.bandit
    layer, plan = found.layer, found.plan
    namespace = plan.namespace if plan else None
    audience = found.given("audience")
    return Experiment(
        name=str(found.name),
        campaign=str(found.campaign.name) if isinstance(found, Located) else "",
        variants=tuple(
            Variant(name, weight, _value(found, name)) for name, weight in found.weights.items()
        ),
        seed=str(plan.seed) if plan and plan.seed is not None else seed,
        phase=phase,
        coverage=found.coverage,
        hash_version=found.given("hash") or "2",
        layer=(f"layer:{layer.name}", layer.from_, layer.to) if layer else None,
        control=found.control,
        metrics=compile_metrics_named(found.metrics),
        analysis=compile_analysis(found.analysis, found.metrics),
        unit=found.unit,
        is_imported=bool(plan and plan.imported),
        namespace=(str(namespace.name), namespace.from_, namespace.to) if namespace else None,
        forced={str(unit): str(variant) for unit, variant in (found.given("forced") or {}).items()},
        requires=tuple(
            (str(it.experiment), str(it.variant)) for it in found.given("requires") or ()
        ),
        audience=str(audience.segment) if audience else "",
        where=where,
        is_sticky=plan.sticky if plan else True,
        programme=str(plan.programme or "") if isinstance(found, Served) and plan else "",
        bandit=bandit and replace(bandit, contexts=contexts),
        state=found.state,
        winner=found.winner,
        is_cap=isinstance(found, Capped),
    )


def _value(found: Found, variant: str) -> Any:
    """What a variant stands for outside a journey: a client's value, a cap's limit."""
    match found:
        case Served():
            return value_of(found.plan, variant)
        case Capped():
            return found.limits[variant]
    return None


def value_of(plan: ExperimentFile | None, variant: str) -> Any:
    """The value that a served variant stands for, as JSON would have it."""
    form = next((it for name, it in plan.variants.items() if name == variant), None) if plan else 0
    return compile_value(form.value) if isinstance(form, PlannedVariantForm) else None


def compile_analysis(form: AnalysisForm, metrics: MetricsForm | None) -> dict[str, Any]:
    """How it is to be read, as plain data without what is not said.

    `ends_at` is ISO 8601, `runs` in microseconds; `margins` hold (size, whether it is a share of
    the control's mean) by metric.
    """
    said: dict[str, Any] = {
        "method": form.method,
        "alpha": form.alpha,
        "correction": form.correction,
        "adjust": form.adjust,
        "planned_sample": form.planned_sample,
        "smallest_lift": form.smallest_lift,
        "looks": list(form.looks) if form.looks else None,
        "spending": form.spending[0] if form.spending else None,
        "spending_parameter": form.spending[1] if form.spending else None,
        "ends_at": None if form.ends is None else iso(form.ends),
        "runs": form.runs,
        "dimensions": [str(path) for path in form.dimensions] or None,
        "prior": {"mean": form.prior.mean, "deviation": form.prior.sd} if form.prior else None,
        "margins": {
            str(it.metric): {"size": it.margin[0], "is_relative": it.margin[1]}
            for it in (metrics.guardrails if metrics else ())
            if it.margin is not None
        }
        or None,
        "opens_may_decide": form.opens_may_decide or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def compile_metrics_named(form: MetricsForm | None) -> dict[str, tuple[str, ...]]:
    """The names of metrics by their role."""
    if form is None:
        return {}
    return {
        "primary": tuple(map(str, form.primary)),
        "secondary": tuple(map(str, form.secondary)),
        "guardrails": tuple(str(it.metric) for it in form.guardrails),
    }


def rules_of(experiment: Experiment) -> dict[str, Any]:
    """What else decides who gets what, as plain data: only what is not as it is for everybody.

    These came after 0.3: leaving out what is unset keeps the digests of older phases true.
    """
    plain = to_builtins(experiment)
    if experiment.bandit is not None:
        # A rule of its own, and only where there is one: digests of bandits without stay true.
        plain["contexts"] = plain["bandit"].pop("contexts")
    rules = {key: plain[key] for key, unset in _RULES.items() if plain.get(key, unset) != unset}
    values = {it.name: it.value for it in experiment.variants}
    if not experiment.campaign:
        rules["values"] = values
    if experiment.is_imported:
        rules["seed"] = experiment.seed
    return rules


_RULES: Final[Mapping[str, Any]] = {
    "unit": "profile", "hash_version": "2", "is_imported": False, "namespace": None, "forced": {},
    "requires": (), "audience": "", "where": (), "is_sticky": True, "programme": "", "bandit": None,
    "contexts": None,
}  # fmt: skip
