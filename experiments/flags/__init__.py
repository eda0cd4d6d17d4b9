"""Flags and served experiments: the GrowthBook SDK specification 0.8, evaluated purely.

Reads the payload that GrowthBook's SDKs read and gives every visitor the answer they would give,
and writes our own experiments as such a payload. No clock, no network, no state: documents of
sticky buckets come in, changed ones go out. The public surface, for whoever serves it:

Evaluate::

    payload = parse_payload(document)           # once; DataError says where it is malformed
    visitor = Visitor(attributes={"id": "u1", "country": "FR"})
    found = evaluate(payload, "checkout-button", visitor)      # -> FeatureResult
    found.value, found.on, found.off            # on: JavaScript takes the value for true
    found.source                                # a `Source`: "experiment", "force", "override",
                                                # "defaultValue", "unknownFeature",
                                                # "prerequisite", "cyclicPrerequisite"
    found.rule_id                               # "" where the rule has none; "forced:green"
    found.experiment                            # Experiment | None: key, name, phase, seed,
                                                # document (its JSON)
    found.result                                # ExperimentResult | None:
        .in_experiment .key .variation .value .hash_used .hash_attribute .hash_value
        .bucket            # share in [0, 1), None where nothing was hashed
        .probability       # exact chance of it; None if forced or sticky
        .sticky_used .name .passthrough .leaf_id .variation_weights .bandit_version
    found.exposures                             # (Exposure(experiment, result), ...): assigned on
                                                # the way, prerequisites included, each once
    found.sticky                                # changed documents {"id||u1": {...}}: store them
    found.as_json()                             # the SDKs' camel-case form
    evaluate_all(payload, visitor)              # {key: FeatureResult} for every feature
    run(payload, experiment, visitor)           # inline (JSON or parsed) -> Evaluated(result,
                                                # exposures, sticky)
    evaluate_remotely(payload, visitor)         # the body of POST /api/eval/{clientKey}
    remote_document(payload, visitor, found)    # the same from `evaluate_all`'s answer

`Visitor` holds `attributes`, `url`, `forced_variations` {experiment key: position},
`forced_features` {feature: value}, `sticky` (None: no sticky buckets; else {"id||u1": document}),
`enabled`, `qa_mode`, `overrides`, `groups`, `skip_experiments`. `sticky_keys(payload, visitor)`
names the documents to load first. `payload.warnings` tells what was repaired as specified.

Publish our own::

    served = ServedExperiment(
        name="checkout-button", seed="checkout-button:2",
        variants=(ServedVariant("control", "blue", weight=1), ServedVariant("green", "green")),
    )                                           # also: control, phase, attribute, fallback,
                                                # coverage, default, layer, holdouts, forced,
                                                # requires, audience, sticky, version, imported,
                                                # namespace, server_only, state, winner
    payload_document([served])                  # the JSON of /api/features; AssignmentError for
                                                # experiments that SDKs cannot compute
    payload_document([served], for_sdks=False)  # for `parse_payload`, OFREP and /api/eval
    split_for_sdks([served])                    # (those SDKs can compute, {name: why not})
    why_not_for_sdks(served)                    # None, or the reason
    feature_document(served), experiment_document(served)
    is_ramp(old, new), why_not_a_ramp(old, new) # coverage may grow; all else is a new phase
    unit_text(value)                            # 1, 1.0 and "1" -> "1"; nobody -> None

Names that begin with "$" (`VARIANT_OF`) are companions for prerequisites: leave them out of
answers to clients that list flags. Conditions alone: `compile_condition(condition, saved_groups)`
gives a function of attributes. `decrypt(text, key)` opens an encrypted section. Rules in words,
and where this differs from an SDK: docs/flags.md.
"""

from experiments.flags.conditions import Condition, compile_condition
from experiments.flags.decryption import decrypt
from experiments.flags.evaluation import evaluate, evaluate_all, run
from experiments.flags.from_experiment import (
    VARIANT_OF,
    experiment_document,
    feature_document,
    payload_document,
    split_for_sdks,
    why_not_for_sdks,
)
from experiments.flags.parsing import parse_payload
from experiments.flags.payload import Experiment, Feature, Payload
from experiments.flags.remote import evaluate_remotely, remote_document
from experiments.flags.results import (
    Evaluated,
    ExperimentResult,
    Exposure,
    FeatureResult,
    Source,
)
from experiments.flags.served import (
    Holdout,
    LayerSlice,
    Requirement,
    ServedBandit,
    ServedContext,
    ServedExperiment,
    ServedVariant,
    is_ramp,
    why_not_a_ramp,
)
from experiments.flags.sticky import sticky_keys
from experiments.flags.values import unit_text
from experiments.flags.visitor import Visitor

__all__ = [
    "VARIANT_OF",
    "Condition",
    "Evaluated",
    "Experiment",
    "ExperimentResult",
    "Exposure",
    "Feature",
    "FeatureResult",
    "Holdout",
    "LayerSlice",
    "Payload",
    "Requirement",
    "ServedBandit",
    "ServedContext",
    "ServedExperiment",
    "ServedVariant",
    "Source",
    "Visitor",
    "compile_condition",
    "decrypt",
    "evaluate",
    "evaluate_all",
    "evaluate_remotely",
    "experiment_document",
    "feature_document",
    "is_ramp",
    "parse_payload",
    "payload_document",
    "remote_document",
    "run",
    "split_for_sdks",
    "sticky_keys",
    "unit_text",
    "why_not_a_ramp",
    "why_not_for_sdks",
]
