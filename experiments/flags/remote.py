"""The answer of remote evaluation: a payload that holds one visitor's values and nothing else.

Rules, conditions, groups and the other variations stay with the server; what was assigned goes
along as `tracks`, so that the client's SDK reports the exposures itself.
"""

from typing import Any

from experiments.flags.evaluation import evaluate_all, run
from experiments.flags.from_experiment import VARIANT_OF
from experiments.flags.payload import Payload
from experiments.flags.results import Exposure, FeatureResult
from experiments.flags.visitor import Visitor


def evaluate_remotely(payload: Payload, visitor: Visitor) -> dict[str, Any]:
    """The body of `POST /api/eval/{clientKey}`."""
    return remote_document(payload, visitor, evaluate_all(payload, visitor))


def remote_document(
    payload: Payload, visitor: Visitor, found: dict[str, FeatureResult]
) -> dict[str, Any]:
    """The same from values at hand, for a server that also stores their sticky documents."""
    document: dict[str, Any] = {
        "status": 200,
        "features": {
            key: _feature(result)
            for key, result in found.items()
            if not key.startswith(VARIANT_OF)  # Rules stay here, so nobody asks for these there.
        },
        "experiments": [
            _scrubbed(Exposure(experiment, evaluated.result))
            for experiment in payload.experiments
            if (evaluated := run(payload, experiment, visitor)).result.in_experiment
        ],
    }
    if payload.date_updated is not None:
        document["dateUpdated"] = payload.date_updated
    return document


def _feature(found: FeatureResult) -> dict[str, Any]:
    feature: dict[str, Any] = {"defaultValue": found.value}
    if found.exposures:
        tracks = [
            {"experiment": _scrubbed(each), "result": each.result.as_json()}
            for each in found.exposures
        ]
        feature["rules"] = [{"force": found.value, "tracks": tracks}]
    return feature


def _scrubbed(exposure: Exposure) -> dict[str, Any]:
    """The experiment without its targeting, and without the values of other variations."""
    document = dict(exposure.as_json()["experiment"])
    document["variations"] = [
        value if index == exposure.result.variation else {}
        for index, value in enumerate(document["variations"])
    ]
    for hidden in ("condition", "filters", "namespace", "parentConditions"):
        document.pop(hidden, None)
    return document
