"""The JSON Schema (2020-12) of a readout, published so that others can build on it.

Written by hand beside `json_form`, and held to it by a test that validates every kind of readout
with unknown keys refused.
"""

from typing import Any, Final

from experiments.analysis.decision import RULES, Choice
from experiments.analysis.readout import Word
from experiments.reporting.json_form import FORM

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "number"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
BOOLEAN: Final[Schema] = {"type": "boolean"}
SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}


def json_schema() -> Schema:
    """The schema of `report.as_json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": FORM,
        "title": "An experiment's readout",
        "$defs": _nouns(),
        **_object(
            {
                "form": {"const": FORM},
                "name": TEXT,
                "control": TEXT,
                "method": {"enum": ["sequential", "fixed", "group_sequential", "bayesian"]},
                "alpha": SHARE,
                "correction": TEXT,
                "awaited": _maybe(TEXT, "When the numbers come; null once they may be seen."),
                "decision": _maybe(_ref("decision")),
                "srm": _ref("srm"),
                "variants": _by_name(_object({"n": COUNT})),
                "metrics": _by_name(_by_name(_ref("comparison"))),
                "over_time": _list(_ref("over_time")),
                "segments": _list(_ref("segments")),
                "compliers": _list(_ref("complier")),
                "novelty": _list(_ref("novelty")),
                "quality": _ref("quality"),
                "plan": _maybe(_ref("plan")),
                "provenance": _object(
                    {
                        "as_of": _maybe(TEXT),
                        "snapshot": _maybe(TEXT, "Hash of the data read."),
                        "engine_version": _maybe(TEXT),
                    }
                ),
                "summary": _list(TEXT),
                "notes": _list(TEXT),
            }
        ),
    }


def _nouns() -> Schema:
    interval = {
        "estimate": _maybe(NUMBER),
        "ci_lower": _maybe(NUMBER, "null: unbounded"),
        "ci_upper": _maybe(NUMBER, "null: unbounded"),
    }
    effect = {
        "lift_abs": _ref("interval"),
        "lift_rel": _ref("interval"),
        "pvalue": _maybe(SHARE, "null: nothing varies"),
        "std_error": NUMBER,
    }
    return {
        "interval": _object(interval),
        "effect": _object(effect),
        "comparison": _object(
            {
                "role": {"enum": ["primary", "secondary", "guardrail", "exploratory"]},
                "control": NUMBER,
                "treatment": NUMBER,
                **effect,
                "pvalue_adjusted": _maybe(SHARE),
                "lift_rel_family": _maybe(_ref("interval")),
                "visible_lift": _maybe(NUMBER, "Found with a power of 80 %."),
                "method": TEXT,
                "cuped": _object({"applied": BOOLEAN, "variance_reduction": NUMBER, "note": TEXT}),
                "unadjusted": _ref("effect"),
                "uncapped": _maybe(_ref("effect")),
                "final": _maybe(
                    _object(
                        {
                            "lift_abs": _ref("interval"),
                            "pvalue": SHARE,
                            "stopped_at": {"type": "integer", "minimum": 1},
                        }
                    ),
                    "Median-unbiased, once a group sequential test has stopped at that look.",
                ),
                "diluted": _maybe(
                    _object(
                        {
                            "effect": _maybe(_ref("effect")),
                            "share": _maybe(SHARE),
                            "sample_ratio_pvalue": _maybe(SHARE),
                            "complement": _maybe(_ref("interval")),
                            "complement_pvalue": _maybe(SHARE),
                            "why_not": _maybe(TEXT),
                        }
                    ),
                    "Of a triggered comparison: its effect on everybody.",
                ),
                "randomization_pvalue": _maybe(SHARE, "Of few clusters, assigned anew."),
                "bayes": _maybe(
                    _object(
                        {
                            "p_better": SHARE,
                            "expected_loss": NUMBER,
                            "expected_loss_of_control": NUMBER,
                            "mean": NUMBER,
                            "deviation": NUMBER,
                        }
                    )
                ),
                "verdict": _object({"word": {"enum": [word.value for word in Word]}, "rule": TEXT}),
                "notes": _list(TEXT),
            }
        ),
        "decision": _object(
            {
                "choice": {"enum": [choice.value for choice in Choice]},
                "rule": {"enum": [rule.name for rule in RULES]},
                "reason": TEXT,
                "metric": _maybe(TEXT),
                "variant": _maybe(TEXT),
                "days": _maybe(COUNT),
                "expected_loss_if_shipped": _maybe(NUMBER),
                "expected_loss_if_kept": _maybe(NUMBER),
                "waiting": _maybe(_object({"weeks": COUNT, "value": NUMBER, "cost": NUMBER})),
                "at_stake": _maybe(_object({"days": COUNT, **interval})),
            }
        ),
        "srm": _object(
            {
                "pvalue": SHARE,
                "expected": _by_name(NUMBER),
                "observed": _by_name(COUNT),
                "anytime_pvalue": SHARE,
                "log_e_value": _maybe(NUMBER),
                "decided_by": {"enum": ["chi-square", "e-value", "plan"]},
                "passed": BOOLEAN,
            }
        ),
        **_unfolded(interval),
        **_beside(),
    }


def _unfolded(interval: Schema) -> Schema:
    moment = _object(
        {
            "day": {"type": "string", "format": "date"},
            "n": COUNT,
            "lift_rel": _ref("interval"),
            "lift_rel_so_far": _ref("interval"),
            "pvalue_so_far": SHARE,
            "gained": _ref("interval"),
        }
    )
    level = _object(
        {
            "level": TEXT,
            "n_control": COUNT,
            "n_treatment": COUNT,
            "lift_abs": _ref("interval"),
            "lift_rel": _ref("interval"),
            "shrunk_abs": _ref("interval"),
        }
    )
    dimension = _object(
        {
            "name": TEXT,
            "declared": BOOLEAN,
            "differs": BOOLEAN,
            "pvalue": SHARE,
            "pvalue_adjusted": SHARE,
            "levels": _list(level),
            "left_out": _by_name(TEXT),
            "watermark": TEXT,
        }
    )
    about = {"metric": TEXT, "variant": TEXT}
    return {
        "over_time": _object({**about, "contradicts_itself": BOOLEAN, "days": _list(moment)}),
        "segments": _object({**about, "dimensions": _list(dimension)}),
        "complier": _object(
            {
                **about,
                "lift_abs": _ref("interval"),
                "reached_share": NUMBER,
                "first_stage_f": _maybe(NUMBER),
                "why_not": _maybe(TEXT),
            }
        ),
        "novelty": _object(
            {
                **about,
                "why_not": _maybe(TEXT),
                "ages": _list(_object({"days": NUMBER, **interval})),
                "slope": _maybe(_ref("interval")),
                "pvalue": _maybe(SHARE),
            }
        ),
    }


def _beside() -> Schema:
    excluded = {"why": TEXT, "what": TEXT, "n": COUNT, "of": COUNT, "by_variant": _by_name(COUNT)}
    cap = {
        "metric": TEXT,
        "column": TEXT,
        "limit": NUMBER,
        "share": SHARE,
        "n_above": _by_name(COUNT),
    }
    change = {"what": TEXT, "frozen": TEXT, "now": TEXT, "used": BOOLEAN}
    return {
        "quality": _object(
            {
                "populations": _by_name(_ref("srm")),
                "off_plan": _list(TEXT),
                "excluded": _list(_object(excluded)),
                "caps": _list(_object(cap)),
                "unreadable": COUNT,
                "acknowledged": _maybe(TEXT, "The cause of a mismatch, once found."),
            }
        ),
        "plan": _object(
            {
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "frozen": BOOLEAN,
                "content": {"type": "object"},
                "changes": _list(_object(change)),
            }
        ),
    }


def _ref(noun: str) -> Schema:
    return {"$ref": f"#/$defs/{noun}"}


def _maybe(schema: Schema, description: str = "") -> Schema:
    said = {"description": description} if description else {}
    return {"anyOf": [schema, {"type": "null"}], **said}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _by_name(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


def _object(properties: Schema) -> Schema:
    """All of these keys; whoever reads must bear more."""
    return {"type": "object", "required": list(properties), "properties": properties}
