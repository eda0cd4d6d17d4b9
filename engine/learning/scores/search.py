"""Which algorithm with which settings: tried in a fixed order, until the budget is spent.

All settings are drawn before the first is tried, so a slower machine tries fewer of the same list
and never others. What is tried is judged on folds before the last, which no choice may see.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

TRIES: Final = 8
"""Draws of settings an algorithm, beyond its default; a longer search gains less than its noise."""
WORTHWHILE: Final = 0.002
"""By how much (share of the simpler one's score) a later algorithm must do better to be taken."""

ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "auto": ("logistic", "boosting", "forest"),
    "logistic": ("logistic",),
    "forest": ("forest",),
    "boosting": ("boosting",),
    "mlp": ("logistic", "boosting", "forest", "mlp"),
}
"""What is tried for a model's `algorithm`, the simple ones first. A network that is asked for must
win against all others."""

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "logistic": {"penalty": 1.0},
    "forest": {"n_estimators": 100, "min_samples_leaf": 20, "max_features": "sqrt"},
    "boosting": {
        "learning_rate": 0.08, "max_iter": 100, "max_leaf_nodes": 15, "min_samples_leaf": 40,
        "l2_regularization": 1.0,
    },
    "mlp": {"hidden_layer_sizes": [32], "alpha": 1e-3, "learning_rate_init": 1e-3},
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """An algorithm with its settings, as scikit-learn names them, and the seed of its fits."""

    algorithm: str
    settings: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Tried:
    """A candidate and its score on the folds of the search; higher is better."""

    candidate: Candidate
    score: float

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        it = self.candidate
        return {"algorithm": it.algorithm, "settings": dict(it.settings), "score": self.score}


def candidates(algorithm: str, rng: "np.random.Generator") -> list[Candidate]:
    """The defaults of each algorithm, then draws of each in turn.

    Raises:
        ValueError: If the algorithm is none of `ORDER`.
    """
    if algorithm not in ORDER:
        raise ValueError(f'"{algorithm}" is not learnt here; {", ".join(ORDER)} are')
    names = ORDER[algorithm]
    seeds = iter(rng.integers(2**31, size=len(names) * (1 + TRIES)).tolist())
    found = [Candidate(name, DEFAULTS[name], next(seeds)) for name in names]
    for _ in range(TRIES):
        found += [Candidate(name, DRAW[name](rng), next(seeds)) for name in names]
    return found


def search(
    found: Sequence[Candidate],
    judge: Callable[[Candidate], float],
    *,
    clock: Callable[[], int],
    budget: int,
) -> list[Tried]:
    """Judge candidates in order until `clock` says that `budget` microseconds are spent.

    The first is always judged, so that there is an answer.
    """
    began = clock()
    tried: list[Tried] = []
    for candidate in found:
        if tried and clock() - began >= budget:
            break
        tried.append(Tried(candidate, judge(candidate)))
    return tried


def best(tried: Sequence[Tried]) -> Tried:
    """The best, where a more elaborate algorithm must be better by more than a trifle."""
    leaders: dict[str, Tried] = {}
    for it in tried:
        name = it.candidate.algorithm
        if name not in leaders or it.score > leaders[name].score:
            leaders[name] = it
    order = [name for name in ORDER["mlp"] if name in leaders]
    chosen = leaders[order[0]]
    for name in order[1:]:
        if leaders[name].score > chosen.score + WORTHWHILE * abs(chosen.score):
            chosen = leaders[name]
    return chosen


def _penalty(rng: "np.random.Generator") -> dict[str, Any]:
    return {"penalty": float(10 ** rng.uniform(-2, 3))}


def _forest(rng: "np.random.Generator") -> dict[str, Any]:
    return {
        "n_estimators": 100,
        "min_samples_leaf": int(_one(rng, (5, 10, 20, 50, 100))),
        "max_features": _one(rng, ("sqrt", 0.5)),
    }


def _boosting(rng: "np.random.Generator") -> dict[str, Any]:
    return {
        "learning_rate": float(10 ** rng.uniform(-1.6, -0.7)),
        "max_iter": int(_one(rng, (50, 100, 200))),
        "max_leaf_nodes": int(_one(rng, (4, 7, 15, 31))),
        "min_samples_leaf": int(_one(rng, (20, 50, 100, 200))),
        "l2_regularization": float(_one(rng, (0.0, 1.0, 10.0))),
    }


def _network(rng: "np.random.Generator") -> dict[str, Any]:
    return {
        "hidden_layer_sizes": _one(rng, ([16], [32], [32, 16])),
        "alpha": float(10 ** rng.uniform(-4, 0)),
        "learning_rate_init": float(10 ** rng.uniform(-3.3, -2)),
    }


def _one(rng: "np.random.Generator", among: Sequence[Any]) -> Any:
    return among[int(rng.integers(len(among)))]


DRAW: Final[Mapping[str, Callable[["np.random.Generator"], dict[str, Any]]]] = {
    "logistic": _penalty,
    "forest": _forest,
    "boosting": _boosting,
    "mlp": _network,
}
