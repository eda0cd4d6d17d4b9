"""A contextual bandit as SDKs read it: two rules, and for each its contexts with their weights.

The slice that is explored for ever is a rule of its own before the learnt one: both name their
contexts, so that every exposure says which weights it was drawn by. Weights are written so that
the running sums an SDK makes in floating point fall between two buckets and never on one. SDKs
that know nothing of bandits pass the rules over and give the default.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.assignment import N_BUCKETS, HashVersion, slice_of_buckets, whole_buckets
from experiments.flags.served import ServedContext, ServedExperiment

EXPLORED: Final = ":explored"
"""Behind the name of a bandit: its slice at the planned weights."""
BESIDE_A_BUCKET: Final = 1e-9
"""How far before a bucket a variant ends: more than what sums lose, less than a bucket by far."""


def bandit_rules(experiment: ServedExperiment, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rule of a plain experiment as those of a bandit.

    Ranges would be used before any weights, and coverage would move people as weights move: the
    first go, the other becomes a filter with a seed of its own, as `assigning` draws it.
    """
    assert experiment.bandit is not None
    shared = {k: v for k, v in rule.items() if k not in ("ranges", "variations", "coverage")}
    filters = list(shared.pop("filters", []))
    if experiment.coverage < 1:
        filters.append(_share(experiment, "coverage", experiment.coverage))
    found = []
    planned = tuple(each.weight for each in experiment.variants)
    if experiment.bandit.explore:
        inside = _share(experiment, "explore", experiment.bandit.explore)
        found.append((EXPLORED, planned, [inside, *filters]))
    found.append(("", experiment.bandit.weights, filters))
    return [
        {
            **shared,
            "id": rule["id"] + suffix,
            "contextualVariations": rule["variations"],
            "contextualBanditRef": experiment.name + suffix,
            "coverage": 1.0,
            "weights": sdk_weights(weights, version=experiment.version),
            **({"filters": those} if those else {}),
        }
        for suffix, weights, those in found
    ]


def bandit_definitions(experiment: ServedExperiment) -> dict[str, Any]:
    """The entries of `contextualBandits` that its rules refer to; none without a bandit."""
    bandit = experiment.bandit
    if bandit is None or experiment.state != "live":
        return {}
    planned = tuple(each.weight for each in experiment.variants)
    explored = [ServedContext(it.condition, planned) for it in bandit.contexts]
    found = {experiment.name: (bandit.version, bandit.contexts)}
    if bandit.explore:
        found[experiment.name + EXPLORED] = (0, tuple(explored))
    return {
        name: {
            "banditVersion": version,
            "contexts": [
                {
                    "leafId": place,
                    "condition": dict(each.condition),
                    "weights": sdk_weights(each.weights, version=experiment.version),
                }
                for place, each in enumerate(contexts)
            ],
        }
        for name, (version, contexts) in found.items()
    }


def sdk_weights(weights: Sequence[int], *, version: HashVersion) -> list[float]:
    """Shares whose running sums part the buckets exactly where `assign` does."""
    size = N_BUCKETS[version]
    found, before = [], 0.0
    for _, last in whole_buckets(list(weights), coverage=1.0, version=version):
        # A variant that ends where all do takes the rest; one without a bucket stays without.
        end = 1.0 if last == size else max(before, last / size - BESIDE_A_BUCKET)
        found.append(end - before)
        before = end
    return found


def _share(experiment: ServedExperiment, what: str, share: float) -> dict[str, Any]:
    first, last = slice_of_buckets(0.0, share, 2)
    return {
        "seed": f"{experiment.seed}/{what}",
        "attribute": experiment.attribute,
        "hashVersion": 2,
        "ranges": [[first / N_BUCKETS[2], last / N_BUCKETS[2]]],
    }
