"""Contextual bandits of a payload: contexts, each with a condition and its own weights.

Every context becomes an experiment of its own when the payload is parsed, so that choosing one is
asking conditions in order. The weights a result reports are always those it was assigned by.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from experiments.flags.conditions import compile_condition
from experiments.flags.experiment_parsing import Place, parse_experiment
from experiments.flags.payload import Experiment, Leaf, Routing
from experiments.flags.shares import are_weights, equal_weights

NO_LEAF = -1
"""Reported where no context holds: the rule's own weights were used."""


def routing_of(definition: Any, document: Mapping[str, Any], place: Place) -> Routing:
    """A bandit's contexts over one experiment.

    A context without a whole-numbered id, or whose weights do not add up, takes the rule's own
    weights: a probability that was not used must never be logged.
    """
    bandit: Mapping[str, Any] = definition if isinstance(definition, Mapping) else {}
    version = bandit.get("banditVersion")
    version = version if _is_whole(version) else None
    n = len(document["variations"])
    own = document.get("weights")
    used = own if are_weights(own, n) else equal_weights(n)
    otherwise = _with_leaf(document, place, leaf_id=NO_LEAF, weights=used, version=version)
    contexts = []
    for context in bandit.get("contexts") or []:
        if not isinstance(context, Mapping):
            continue
        holds = compile_condition(context.get("condition") or {}, place.groups)
        leaf_id, weights = context.get("leafId"), context.get("weights")
        experiment = otherwise
        if _is_whole(leaf_id) and are_weights(weights, n):
            experiment = _with_leaf(
                {**document, "weights": weights},
                place, leaf_id=leaf_id, weights=weights, version=version,
            )  # fmt: skip
        contexts.append((holds, experiment))
    return Routing(tuple(contexts), otherwise)


def _with_leaf(
    document: Mapping[str, Any], place: Place, *, leaf_id: Any, weights: Any, version: Any
) -> Experiment:
    experiment = parse_experiment(document, place, is_rule=True)
    if document.get("ranges"):  # Ranges were used, so no weights can truthfully be told.
        return experiment
    return replace(experiment, leaf=Leaf(leaf_id, tuple(weights), version))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
