"""Many decision trees as seven arrays, and the sum of their leaves for every row.

A row goes left where its value is at most the threshold; NaN goes where training sent it. Trees of
up to 64 leaves are read through `leaf_masks`, which never walks; larger ones are walked level by
level, all rows at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from engine.learning.scores.leaf_masks import LeafMasks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ROWS: Final = 16_384
"""Rows read together: what they need stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Trees:
    """Nodes of all trees one after another.

    Attributes:
        roots: Where each tree begins; shape (trees,).
        feature: Column asked, -1 at a leaf.
        threshold: The most that goes left.
        is_missing_left: Where NaN goes.
        left, right: Nodes, counted over all trees; -1 at a leaf.
        value: What a leaf adds.
    """

    roots: "Ints"
    feature: "Ints"
    threshold: "Floats"
    is_missing_left: "NDArray[np.bool_]"
    left: "Ints"
    right: "Ints"
    value: "Floats"

    def summed(self, values: "Floats", *, start: float = 0.0) -> "Floats":
        """`start` plus every tree's leaf, tree after tree, for rows of shape (n, d)."""
        import numpy as np

        masks = self._masks
        out = np.full(len(values), start)
        for first in range(0, len(values), ROWS):
            rows = slice(first, first + ROWS)
            if masks is not None:
                masks.add_to(out[rows], values[rows])
            else:
                self._walk(out[rows], values[rows])
        return out

    @cached_property
    def _masks(self) -> LeafMasks | None:
        return LeafMasks.of(self)

    def _walk(self, out: "Floats", values: "Floats") -> None:
        import numpy as np

        width, flat = values.shape[1], np.ascontiguousarray(values).ravel()
        for root in self.roots.tolist():
            node = np.full(len(values), root)
            on_the_way = np.arange(len(values))
            while len(on_the_way):
                here = node[on_the_way]
                on_the_way = on_the_way[self.feature[here] >= 0]
                here = node[on_the_way]
                asked = flat[on_the_way * width + self.feature[here]]
                goes_left = np.where(
                    np.isnan(asked), self.is_missing_left[here], asked <= self.threshold[here]
                )
                node[on_the_way] = np.where(goes_left, self.left[here], self.right[here])
            out += self.value[node]

    def ends(self) -> "Iterator[tuple[int, int]]":
        """Each tree's first node and the one after its last."""
        yield from pairwise([*self.roots.tolist(), len(self.feature)])

    def arrays(self) -> "dict[str, NDArray[Any]]":
        """As arrays by name."""
        return {it.name: getattr(self, it.name) for it in fields(self)}

    @classmethod
    def read(cls, arrays: "Mapping[str, NDArray[Any]]") -> "Trees":
        """What `arrays` gave."""
        return cls(**{it.name: arrays[it.name] for it in fields(cls)})


def joined(parts: "list[dict[str, NDArray[Any]]]") -> Trees:
    """One `Trees` of single trees, whose nodes are counted from 0 each."""
    import numpy as np

    sizes = [len(part["feature"]) for part in parts]
    roots = np.cumsum([0, *sizes[:-1]]).astype(np.int64)

    def moved(name: str) -> "Ints":
        return np.concatenate(
            [
                np.where(part["feature"] >= 0, part[name].astype(np.int64) + root, -1)
                for part, root in zip(parts, roots, strict=True)
            ]
        )

    def together(name: str, kind: Any) -> "NDArray[Any]":
        return np.concatenate([part[name].astype(kind) for part in parts])

    return Trees(
        roots,
        together("feature", np.int64),
        together("threshold", np.float64),
        together("is_missing_left", np.bool_),
        moved("left"),
        moved("right"),
        together("value", np.float64),
    )
