"""From features to a matrix: texts become columns, and nothing-to-know becomes a fixed value.

The encoding is learnt once, at training: which levels of a text are columns, which categories,
which values stand where there is nothing to know, which columns tell nobody apart. Applied later it
never changes: a level or category it does not know goes to `other`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.learning.features.columns import ABSENT, AFFINITY, OTHER, Absent
from engine.learning.features.table import FeatureTable, Shares
from engine.learning.matrix import Matrix
from engine.learning.refusals import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVELS_MAX: Final = 20
"""Levels of a text, and categories, that get a column of their own; the most frequent."""
PEOPLE_MIN: Final = 2
How = Literal["one_hot", "ordinal"]


@dataclass(frozen=True)
class Encoding:
    """How a table becomes a matrix.

    Attributes:
        how: `one_hot` gives a column `device=mobile` a level; `ordinal` one column of codes, 0 the
            most frequent level, the number of levels for others and NaN for the unknown.
        numbers: Columns taken as they are, in order.
        fixed: By column, what stands where its flag says that there is nothing to know.
        levels: By text, its levels, the most frequent first.
        categories: That have a column; None where the table has no shares.
        dropped: Columns that were the same for everybody in training.
    """

    how: How
    numbers: tuple[str, ...]
    fixed: Mapping[str, float]
    levels: Mapping[str, tuple[str, ...]]
    categories: tuple[str, ...] | None
    dropped: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the matrix."""
        return tuple(name for name in self._all() if name not in self.dropped)

    def to_schema(self) -> dict[str, Any]:
        """As JSON knows it, for an `Artifact`."""
        return {
            "how": self.how,
            "numbers": list(self.numbers),
            "fixed": dict(self.fixed),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "categories": None if self.categories is None else list(self.categories),
            "dropped": sorted(self.dropped),
        }

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any]) -> "Encoding":
        """What `to_schema` wrote."""
        categories = schema["categories"]
        return cls(
            schema["how"],
            tuple(schema["numbers"]),
            dict(schema["fixed"]),
            {name: tuple(levels) for name, levels in schema["levels"].items()},
            None if categories is None else tuple(categories),
            frozenset(schema["dropped"]),
        )

    def apply(self, table: FeatureTable) -> Matrix:
        """The matrix of a table; columns are `names`, NaN where there is a gap.

        Raises:
            Refused: If the table lacks a feature of the training, or holds an infinite number.
        """
        import numpy as np

        self._check(table)
        columns = self._columns(table)
        kept = self.names
        values = np.empty((len(table), len(kept)))
        for place, name in enumerate(kept):
            values[:, place] = columns[name]
        return Matrix(table.ids, kept, values)

    def unseen(self, table: FeatureTable) -> dict[str, float]:
        """The share of known values of each text that no level stands for: a sign of drift."""
        import numpy as np

        found = {}
        for name, levels in self.levels.items():
            known = table.texts[name][table.texts[name] != ""]
            found[name] = float((~np.isin(known, levels)).mean()) if len(known) else 0.0
        return found

    def _all(self) -> list[str]:
        found = list(self.numbers)
        for name, levels in self.levels.items():
            if self.how == "ordinal":
                found.append(name)
            else:
                found += [f"{name}={level}" for level in (*levels, OTHER)]
        if self.categories is not None:
            found += [f"{AFFINITY}{it}" for it in (*self.categories, OTHER)]
        return list(dict.fromkeys(found))

    def _check(self, table: FeatureTable) -> None:
        import numpy as np

        # A trait that was a number and now is text is a gap; a feature not asked for is a mistake.
        held = {*table.numbers, *table.texts}
        lacking = [name for name in (*self.numbers, *self.levels) if name not in held]
        if self.categories is not None and table.shares is None:
            lacking.append("affinities")
        if lacking:
            raise Refused(
                f"the model was trained on {', '.join(lacking)}, which this table does not hold",
                "ask for the features of its training, or train it again",
            )
        for name in self.numbers:
            if name in table.numbers and bool(np.isinf(table.numbers[name]).any()):
                raise Refused(f"{name} holds an infinite number", "correct what it is made of")

    def _columns(self, table: FeatureTable) -> "dict[str, Floats]":
        import numpy as np

        gap = np.full(len(table), np.nan)
        found: dict[str, Floats] = {}
        for name in self.numbers:
            column = table.numbers.get(name, gap)
            if name in self.fixed:
                never = table.numbers[ABSENT[name].flag] == 1.0
                column = np.where(never & np.isnan(column), self.fixed[name], column)
            found[name] = column
        for name, levels in self.levels.items():
            texts = table.texts.get(name)
            if texts is None:
                texts = np.full(len(table), "")
            found |= _coded(name, texts, levels, self.how)
        if self.categories is not None:
            assert table.shares is not None
            found |= _affinities(table.shares, self.categories, len(table))
        return found


def encode(
    table: FeatureTable, *, encoding: Encoding | None = None, how: How = "one_hot"
) -> tuple[Matrix, Encoding]:
    """A table as a matrix, and the encoding that did it.

    Args:
        encoding: Of the training; None learns one from this table.
        how: What becomes of texts, where an encoding is learnt.
    Raises:
        Refused: If there are fewer than two people to learn from, if no feature tells them apart,
            or if the table does not hold what the training had.
    """
    if encoding is None:
        encoding = _learnt(table, how)
    return encoding.apply(table), encoding


def _learnt(table: FeatureTable, how: How) -> Encoding:
    if len(table) < PEOPLE_MIN:
        raise Refused(
            f"there {'is 1 person' if len(table) == 1 else 'are 0 people'} to learn from",
            f"at least {PEOPLE_MIN} are needed: wait, or widen whom the model is about",
        )
    categories = None if table.shares is None else _most_liked(table.shares)
    everything = Encoding(
        how,
        tuple(table.numbers),
        {
            name: _fixed(ABSENT[name], column)
            for name, column in table.numbers.items()
            if name in ABSENT and ABSENT[name].flag in table.numbers
        },
        {name: _levels(column) for name, column in table.texts.items()},
        categories,
        frozenset(),
    )
    everything._check(table)
    columns = everything._columns(table)
    dropped = frozenset(name for name, column in columns.items() if _is_flat(column))
    if len(dropped) == len(columns):
        raise Refused(
            f"nothing tells these {len(table):,} people apart: every feature is the same for all",
            "add features in which people differ, or wait until there is more to know",
        )
    return Encoding(
        how, everything.numbers, everything.fixed, everything.levels, categories, dropped
    )


def _fixed(absent: Absent, column: "Floats") -> float:
    import numpy as np

    known = column[~np.isnan(column)]
    if absent.by == "fixed" or len(known) == 0:
        return absent.value
    return float(known.max() if absent.by == "most" else np.median(known))


def _is_flat(column: "Floats") -> bool:
    """Whether a column is the same for all: one value and no gap, or nothing but gaps."""
    import numpy as np

    gaps = np.isnan(column)
    if gaps.any():
        return bool(gaps.all())
    return bool((column == column[0]).all())


def _levels(column: "NDArray[np.str_]") -> tuple[str, ...]:
    """The most frequent texts; of equally frequent ones the first in the alphabet."""
    counted = Counter(column.tolist())
    del counted[""]
    return tuple(sorted(counted, key=lambda it: (-counted[it], it))[:LEVELS_MAX])


def _most_liked(shares: Shares) -> tuple[str, ...]:
    """The categories with the most attention, each person's counted as one."""
    import numpy as np

    names, places = np.unique(shares.categories, return_inverse=True)
    total = np.bincount(places, weights=shares.shares, minlength=len(names))
    # Whole millionths: the order of equals must not hang on the last bit of a sum.
    order = sorted(
        range(len(names)), key=lambda it: (-round(float(total[it]) * 1e6), str(names[it]))
    )
    return tuple(str(names[it]) for it in order[:LEVELS_MAX])


def _coded(
    name: str, texts: "NDArray[np.str_]", levels: Sequence[str], how: How
) -> "dict[str, Floats]":
    import numpy as np

    codes = np.full(len(texts), float(len(levels)))
    for code, level in enumerate(levels):
        codes[texts == level] = code
    codes[texts == ""] = np.nan
    if how == "ordinal":
        return {name: codes}
    found = {f"{name}={level}": np.zeros(len(texts)) for level in (*levels, OTHER)}
    for code, level in enumerate((*levels, OTHER)):
        found[f"{name}={level}"] += codes == code
    return found


def _affinities(shares: Shares, categories: Sequence[str], n: int) -> "dict[str, Floats]":
    import numpy as np

    found = {f"{AFFINITY}{it}": np.zeros(n) for it in (*categories, OTHER)}
    kept = np.isin(shares.categories, categories)
    for category in categories:
        mine = shares.categories == category
        found[f"{AFFINITY}{category}"][shares.rows[mine]] += shares.shares[mine]
    np.add.at(found[f"{AFFINITY}{OTHER}"], shares.rows[~kept], shares.shares[~kept])
    return found
