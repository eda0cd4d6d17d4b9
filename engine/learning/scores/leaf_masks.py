"""The leaf of a small tree without walking it: which leaves each column's value rules out.

A node that sends a row right rules out the leaves on its left. For every tree and column there is
a table from the value's place among the thresholds to the leaves still open, as bits; the row's
leaf is the lowest bit left when the tables of all columns are and-ed.
Source: Lucchese et al., "QuickScorer" (SIGIR 2015), with tables because thresholds are few.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Bits = NDArray[np.uint64]

LEAVES_MAX: Final = 64
THRESHOLDS_MAX: Final = 1_024
"""Of one column; with more the tables would leave the processor's cache."""


class Nodes(Protocol):
    """What the tables are made from: the nodes of many trees, as `trees.Trees` holds them."""

    @property
    def roots(self) -> "Ints": ...
    @property
    def feature(self) -> "Ints": ...
    @property
    def threshold(self) -> "Floats": ...
    @property
    def is_missing_left(self) -> "NDArray[np.bool_]": ...
    @property
    def left(self) -> "Ints": ...
    @property
    def right(self) -> "Ints": ...
    @property
    def value(self) -> "Floats": ...

    def ends(self) -> "Iterator[tuple[int, int]]":
        """Each tree's first node and the one after its last."""


@dataclass(frozen=True, eq=False)
class LeafMasks:
    """`tables` by tree: per column asked, bits by the value's place; `leaves` by tree: values."""

    thresholds: "Mapping[int, Floats]"
    tables: "list[list[tuple[int, Bits]]]"
    leaves: "list[Floats]"

    @classmethod
    def of(cls, trees: Nodes) -> "LeafMasks | None":
        """The tables of these trees; None if one has too many leaves or thresholds."""
        import numpy as np

        is_leaf = trees.feature < 0
        if any(int(is_leaf[first:last].sum()) > LEAVES_MAX for first, last in trees.ends()):
            return None
        thresholds = {
            column: np.unique(trees.threshold[trees.feature == column])
            for column in np.unique(trees.feature[~is_leaf]).tolist()
        }
        if any(len(cuts) > THRESHOLDS_MAX for cuts in thresholds.values()):
            return None
        found = [_tree(trees, root, thresholds) for root in trees.roots.tolist()]
        return cls(thresholds, [tables for tables, _ in found], [leaves for _, leaves in found])

    def add_to(self, out: "Floats", values: "Floats") -> None:
        """Add every tree's leaf to `out`, tree after tree."""
        import numpy as np

        places = {column: self._places(column, values[:, column]) for column in self.thresholds}
        for tables, leaves in zip(self.tables, self.leaves, strict=True):
            if not tables:
                out += leaves[0]
                continue
            column, table = tables[0]
            still = table.take(places[column])
            for column, table in tables[1:]:
                still &= table.take(places[column])
            lowest = still & (~still + np.uint64(1))
            # A power of two as a float keeps its logarithm in the exponent's bits.
            leaf = (lowest.astype(np.float64).view(np.int64) >> 52) - 1023
            out += leaves.take(leaf)

    def _places(self, column: int, values: "Floats") -> "NDArray[np.intp]":
        """How many thresholds lie strictly below a value; one more than all of them for NaN."""
        import numpy as np

        cuts = self.thresholds[column]
        return np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values))


def _tree(
    trees: Nodes, root: int, thresholds: "Mapping[int, Floats]"
) -> "tuple[list[tuple[int, Bits]], Floats]":
    """One tree's tables and leaves, its leaves numbered from left to right."""
    import numpy as np

    values: list[float] = []
    tables: dict[int, Any] = {}

    def visit(node: int) -> int:
        """The bits of the leaves under a node."""
        column = int(trees.feature[node])
        if column < 0:
            values.append(float(trees.value[node]))
            return 1 << (len(values) - 1)
        left = visit(int(trees.left[node]))
        cuts = thresholds[column]
        if column not in tables:
            tables[column] = np.full(len(cuts) + 2, (1 << LEAVES_MAX) - 1, dtype=np.uint64)
        kept = np.uint64(((1 << LEAVES_MAX) - 1) & ~left)
        at = int(np.searchsorted(cuts, trees.threshold[node]))
        tables[column][at + 1 : -1] &= kept
        if not trees.is_missing_left[node]:
            tables[column][-1] &= kept
        return left | visit(int(trees.right[node]))

    visit(root)
    return list(tables.items()), np.array(values)
