"""A readout as plain data, by the published schema (`schema`); an unbounded end is null."""

from math import isfinite
from typing import Any, Final

from experiments.analysis.decision import PERIOD_DAYS, Decision
from experiments.analysis.plan import PlanRecord
from experiments.analysis.readout import (
    Comparison,
    Complier,
    Diluted,
    Effect,
    Moment,
    Quality,
    Readout,
    Wear,
)
from experiments.evidence.compare import Interval
from experiments.evidence.srm import SampleRatio
from experiments.evidence.stopped import FinalEstimate
from experiments.programme.heterogeneity import Dimension
from experiments.reporting.words import summary

FORM: Final = "antiphon/readout/1"
"""Of this shape; it grows by keys, and a key that goes or changes makes it 2."""


def as_json(readout: Readout) -> dict[str, Any]:
    """Plain data for `json.dumps(..., allow_nan=False)`.

    Under a mismatch the numbers are kept for whoever looks for the cause, with the verdict
    "withheld". While numbers are awaited `metrics` is empty.
    """
    metrics: dict[str, dict[str, Any]] = {}
    for entry in readout.comparisons:
        metrics.setdefault(entry.metric.name, {})[entry.variant] = _comparison(entry)
    origin = readout.provenance
    return {
        "form": FORM,
        "name": readout.name,
        "control": readout.control,
        "method": readout.method,
        "alpha": readout.alpha,
        "correction": readout.correction,
        "awaited": readout.awaited or None,
        "decision": None if readout.decision is None else _decision(readout.decision),
        "srm": _srm(readout.srm),
        "variants": {name: {"n": n} for name, n in readout.n.items()},
        "metrics": metrics,
        "over_time": [
            {
                "metric": track.metric.name,
                "variant": track.variant,
                "contradicts_itself": track.contradicts_itself,
                "days": [_moment(moment) for moment in track.moments],
            }
            for track in readout.over_time
        ],
        "segments": [
            {
                "metric": part.metric.name,
                "variant": part.variant,
                "dimensions": [_dimension(it) for it in part.dimensions],
            }
            for part in readout.segments
        ],
        "compliers": [_complier(it) for it in readout.compliers],
        "novelty": [_wear(it) for it in readout.wear],
        "quality": _quality(readout.quality),
        "plan": None if readout.plan is None else _plan(readout.plan),
        "provenance": {
            "as_of": origin.as_of or None,
            "snapshot": origin.snapshot or None,
            "engine_version": origin.engine_version or None,
        },
        "summary": summary(readout),
        "notes": list(readout.notes),
    }


def _comparison(entry: Comparison) -> dict[str, Any]:
    posterior = entry.posterior
    return {
        "role": entry.metric.role,
        "control": entry.control,
        "treatment": entry.treatment,
        **_effect(entry.effect),
        "pvalue_adjusted": entry.pvalue_adjusted,
        "lift_rel_family": None if entry.lift_family is None else _interval(entry.lift_family),
        "visible_lift": entry.visible_lift,
        "method": entry.method,
        "cuped": {
            "applied": entry.cuped.applied,
            "variance_reduction": entry.cuped.variance_reduction,
            "note": entry.cuped.note,
        },
        "unadjusted": _effect(entry.unadjusted),
        "uncapped": None if entry.uncapped is None else _effect(entry.uncapped),
        "final": None if entry.final is None else _final(entry.final),
        "diluted": None if entry.diluted is None else _diluted(entry.diluted),
        "randomization_pvalue": entry.randomization_pvalue,
        "bayes": (
            {
                "p_better": posterior.p_better,
                "expected_loss": posterior.expected_loss,
                "expected_loss_of_control": posterior.expected_loss_of_control,
                "mean": posterior.mean,
                "deviation": posterior.deviation,
            }
            if posterior
            else None
        ),
        "verdict": {"word": entry.verdict.word.value, "rule": entry.verdict.rule},
        "notes": list(entry.notes),
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "lift_abs": _interval(effect.lift_abs),
        "lift_rel": _interval(effect.lift_rel),
        "pvalue": effect.pvalue,
        "std_error": effect.std_error,
    }


def _final(final: FinalEstimate) -> dict[str, Any]:
    return {
        "lift_abs": _interval(final.effect),
        "pvalue": final.pvalue,
        "stopped_at": final.stopped_at,
    }


def _diluted(found: Diluted) -> dict[str, Any]:
    checked = found.validity
    return {
        "effect": None if found.effect is None else _effect(found.effect),
        "share": found.share,
        "sample_ratio_pvalue": None if checked is None else checked.srm.pvalue,
        "complement": None if checked is None else _interval(checked.complement),
        "complement_pvalue": None if checked is None else checked.complement_pvalue,
        "why_not": found.why_not or None,
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {
        "estimate": _finite(interval.estimate),
        "ci_lower": _finite(interval.ci_lower),
        "ci_upper": _finite(interval.ci_upper),
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _decision(decision: Decision) -> dict[str, Any]:
    waiting, stake = decision.waiting, decision.stake
    return {
        "choice": decision.choice.value,
        "rule": decision.rule,
        "reason": decision.reason,
        "metric": decision.metric or None,
        "variant": decision.variant or None,
        "days": decision.days,
        "expected_loss_if_shipped": decision.loss_if_shipped,
        "expected_loss_if_kept": decision.loss_if_kept,
        "waiting": (
            None
            if waiting is None
            else {"weeks": waiting.weeks, "value": waiting.value, "cost": waiting.cost}
        ),
        "at_stake": None if stake is None else {"days": PERIOD_DAYS, **_interval(stake)},
    }


def _srm(srm: SampleRatio) -> dict[str, Any]:
    return {
        "pvalue": srm.pvalue,
        "expected": srm.expected,
        "observed": srm.observed,
        "anytime_pvalue": srm.anytime_pvalue,
        "log_e_value": _finite(srm.log_e_value),
        "decided_by": srm.decided_by,
        "passed": srm.passed,
    }


def _moment(moment: Moment) -> dict[str, Any]:
    return {
        "day": moment.day,
        "n": moment.n,
        "lift_rel": _interval(moment.lift_rel),
        "lift_rel_so_far": _interval(moment.so_far),
        "pvalue_so_far": moment.pvalue,
        "gained": _interval(moment.gained),
    }


def _dimension(dimension: Dimension) -> dict[str, Any]:
    return {
        "name": dimension.name,
        "declared": dimension.is_declared,
        "differs": dimension.differs,
        "pvalue": dimension.pvalue,
        "pvalue_adjusted": dimension.pvalue_adjusted,
        "levels": [
            {
                "level": level.level,
                "n_control": level.n_control,
                "n_treatment": level.n_treatment,
                "lift_abs": _interval(level.lift_abs),
                "lift_rel": _interval(level.lift_rel),
                "shrunk_abs": _interval(level.pulled),
            }
            for level in dimension.levels
        ],
        "left_out": dict(dimension.left_out),
        "watermark": dimension.watermark,
    }


def _complier(found: Complier) -> dict[str, Any]:
    return {
        "metric": found.metric.name,
        "variant": found.variant,
        "lift_abs": _interval(found.effect),
        "reached_share": found.reached_share,
        "first_stage_f": found.first_stage_f,
        "why_not": found.why_not or None,
    }


def _wear(found: Wear) -> dict[str, Any]:
    about = {"metric": found.metric.name, "variant": found.variant}
    if found.novelty is None:
        return {**about, "why_not": found.why_not, "ages": [], "slope": None, "pvalue": None}
    read = found.novelty
    return {
        **about,
        "why_not": None,
        "ages": [
            {"days": age, **_interval(effect)}
            for age, effect in zip(read.ages, read.effects, strict=True)
        ],
        "slope": _interval(read.slope.interval),
        "pvalue": read.slope.pvalue,
    }


def _quality(quality: Quality) -> dict[str, Any]:
    return {
        "populations": {name: _srm(srm) for name, srm in quality.populations.items()},
        "off_plan": list(quality.off_plan),
        "excluded": [
            {
                "why": it.why,
                "what": it.what,
                "n": it.n,
                "of": it.of,
                "by_variant": dict(it.n_by_variant),
            }
            for it in quality.excluded
        ],
        "caps": [
            {
                "metric": it.metric,
                "column": it.source,
                "limit": it.limit,
                "share": it.share,
                "n_above": dict(it.n_above),
            }
            for it in quality.caps
        ],
        "unreadable": quality.n_unreadable,
        "acknowledged": quality.acknowledged or None,
    }


def _plan(record: PlanRecord) -> dict[str, Any]:
    return {
        "sha256": record.digest,
        "frozen": record.is_frozen,
        "content": dict(record.content),
        "changes": [
            {"what": it.what, "frozen": it.frozen, "now": it.now, "used": it.is_used}
            for it in record.changes
        ],
    }
