"""Beliefs of each context of a bandit: its own units', drawn towards what all contexts share.

Contexts rarely differ as much as their noise does. Each arm's advantage within a context is
therefore drawn towards its advantage over all of them, the more the less is known of it there and
the less contexts truly differ (random effects; their spread is estimated over all arms at once).
Where contexts do not differ everybody's units count for everybody; where they do, each learns for
itself as soon as it has the units. Whoever has too few to say anything has the whole's beliefs.
Sources: DerSimonian, Laird (Controlled Clinical Trials 1986) for the spread; Efron, Morris (JASA
1973) for drawing estimates together.
"""

from collections.abc import Mapping, Sequence

from experiments.bandits.beliefs import NormalBelief
from experiments.bandits.learning import beliefs_from
from experiments.bandits.log import Batch

Beliefs = tuple[NormalBelief, ...]


def beliefs_by_context(
    cohorts: Mapping[str, Sequence[Batch]], arms: Sequence[str]
) -> tuple[Beliefs | None, dict[str, Beliefs]]:
    """(the whole's beliefs, those of each context that has its own), arms in the order given.

    Args:
        cohorts: Matured ones by context, without the explored slice.
    Returns:
        None and nothing while there is too little to say of the whole. A context that is absent
        borrows the whole's.
    """
    whole = beliefs_from([it for its in cohorts.values() for it in its], arms)
    if whole is None:
        return None, {}
    own = {name: found for name, its in cohorts.items() if (found := beliefs_from(its, arms))}
    if len(own) < 2:
        # With one context there is no spread between contexts to learn: the rest is the whole.
        return whole, {}
    shared, spread = _shared(own, len(arms))
    return whole, {name: _drawn(its, shared, spread) for name, its in own.items()}


def _shared(own: Mapping[str, Beliefs], n_arms: int) -> tuple[Beliefs, float]:
    """(each arm's advantage over all contexts, the variance of advantages between contexts)."""
    gaps = {name: _advantages(its) for name, its in own.items()}
    statistic = expected = 0.0
    for arm in range(n_arms):
        weights = {name: 1 / its[arm].variance for name, its in own.items()}
        total = sum(weights.values())
        centre = sum(it * gaps[name][arm] for name, it in weights.items()) / total
        statistic += sum(it * (gaps[name][arm] - centre) ** 2 for name, it in weights.items())
        expected += total - sum(it * it for it in weights.values()) / total
    # Advantages sum to 0 within a context: of K arms, K - 1 are free.
    share_free = (n_arms - 1) / n_arms
    spread = max(0.0, (statistic - (len(own) - 1) * n_arms * share_free) / (expected * share_free))
    shared = []
    for arm in range(n_arms):
        known = [(1 / (its[arm].variance + spread), gaps[name][arm]) for name, its in own.items()]
        total = sum(weight for weight, _ in known)
        shared.append(NormalBelief(sum(w * gap for w, gap in known) / total, 1 / total))
    return tuple(shared), spread


def _drawn(its: Beliefs, shared: Beliefs, spread: float) -> Beliefs:
    """Each arm between its own advantage and the shared one; the context's level plays no part."""
    found = []
    for belief, gap, common in zip(its, _advantages(its), shared, strict=True):
        trust = spread / (spread + belief.variance)
        found.append(
            NormalBelief(
                trust * gap + (1 - trust) * common.mean,
                # What is left of its own doubt, and the doubt of what it is drawn towards.
                trust * belief.variance + (1 - trust) ** 2 * common.variance,
            )
        )
    return tuple(found)


def _advantages(its: Beliefs) -> list[float]:
    """Each arm's mean less the mean of all arms."""
    level = sum(it.mean for it in its) / len(its)
    return [it.mean - level for it in its]
