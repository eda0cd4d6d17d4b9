"""How good lists are: what was in them that people then took, and how alike they all are.

Each of the first three gives one number a person; `mean` puts an interval around their average.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DRAWS: Final = 1_000
_CELLS_MAX: Final = 4_000_000


@dataclass(frozen=True)
class Mean:
    """An average over people with its bootstrap standard error and 95 % percentile interval."""

    value: float
    low: float
    high: float
    std_error: float

    def as_json(self) -> dict[str, float]:
        """Plain data."""
        return {
            "value": self.value, "low": self.low, "high": self.high, "std_error": self.std_error,
        }  # fmt: skip


def precision(shown: Sequence[str], wanted: Collection[str], *, k: int) -> float:
    """Share of the k places that hold something wanted; an empty place holds nothing."""
    return sum(it in wanted for it in shown[:k]) / k


def recall(shown: Sequence[str], wanted: Collection[str], *, k: int) -> float:
    """Share of what was wanted that is among the first k."""
    return sum(it in wanted for it in shown[:k]) / len(wanted)


def ndcg(shown: Sequence[str], wanted: Collection[str], *, k: int) -> float:
    """Hits discounted by `1 / log2(rank + 1)`, over the most that was possible.

    Source: Jaervelin and Kekaelaeinen, ACM TOIS 2002, with relevance 0 or 1.
    """
    from math import log2

    discounts = [1 / log2(rank + 1) for rank in range(1, k + 1)]
    gained = sum(d for it, d in zip(shown, discounts, strict=False) if it in wanted)
    return gained / sum(discounts[: len(wanted)])


def mean(values: "NDArray[np.float64]", *, rng: "np.random.Generator", draws: int = DRAWS) -> Mean:
    """The average over people, who are drawn again and again."""
    import numpy as np

    n = len(values)
    if n == 0:
        return Mean(float("nan"), float("nan"), float("nan"), float("nan"))
    at_once = max(_CELLS_MAX // n, 1)
    found: list[float] = []
    while len(found) < draws:
        rows = min(at_once, draws - len(found))
        found += values[rng.integers(n, size=(rows, n))].mean(axis=1).tolist()
    low, high = np.quantile(found, [0.025, 0.975])
    return Mean(float(values.mean()), float(low), float(high), float(np.std(found)))


def coverage(lists: Sequence[Sequence[str]], *, n_items: int) -> float:
    """Share of all items that anybody is shown."""
    return len({it for shown in lists for it in shown}) / n_items if n_items else 0.0


def gini(lists: Sequence[Sequence[str]], *, n_items: int) -> float:
    """How unevenly places go to items: 0 all alike, towards 1 one item has them all."""
    import numpy as np

    counts = Counter(it for shown in lists for it in shown)
    if not counts:
        return 0.0
    sizes = np.zeros(max(n_items, len(counts)))
    sizes[: len(counts)] = list(counts.values())
    sizes.sort()
    n = len(sizes)
    ranks = np.arange(1, n + 1)
    return float(((2 * ranks - n - 1) * sizes).sum() / (n * sizes.sum()))


def alike(lists: Sequence[Sequence[str]]) -> float:
    """Share of people who are shown exactly what somebody else is, in the same order."""
    counts = Counter(tuple(shown) for shown in lists)
    return sum(n for n in counts.values() if n > 1) / len(lists) if lists else 0.0


def inner_likeness(alike: "NDArray[np.float64]") -> float:
    """How like each other the items of one list are: the mean over its pairs; NaN without a pair.

    Args:
        alike: Of each item with each; shape (n, n).
    """
    n = len(alike)
    if n < 2:
        return float("nan")
    return float((alike.sum() - alike.trace()) / (n * (n - 1)))


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Counts as shares of their sum, in the order given."""
    total = sum(counts.values())
    return {name: n / total for name, n in counts.items()} if total else {}
