"""What is known of people at an instant, one row a person, before it becomes numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Shares:
    """How a person's attention is spread over categories; a row per person and category.

    Attributes:
        rows: Places in the table, ascending; shape (m,), int64.
        categories: Texts; shape (m,).
        shares: In (0, 1], a person's add up to 1; shape (m,), float64.
    """

    rows: "NDArray[np.int64]"
    categories: "NDArray[np.str_]"
    shares: "NDArray[np.float64]"


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of people as of an instant.

    Attributes:
        ids: Profiles, ascending; shape (n,), int64.
        as_of: Microseconds UTC; nothing that happened or was known from then on is in it.
        numbers: Columns of float64, shape (n,); NaN where nothing is known. The flags `never_…` are
            0 or 1 and say that a NaN beside them is no gap in the data: there is nothing to know.
        texts: Columns of text, shape (n,); "" where nothing is known.
        shares: What the columns `affinity:CATEGORY` are made of; None where not asked for.
    """

    ids: "NDArray[np.int64]"
    as_of: int
    numbers: "Mapping[str, NDArray[np.float64]]"
    texts: "Mapping[str, NDArray[np.str_]]"
    shares: Shares | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, places: "NDArray[Any]") -> "FeatureTable":
        """Some of the people.

        Args:
            places: Which, ascending; a mask of shape (n,) or positions.
        """
        import numpy as np

        chosen = np.arange(len(self.ids))[places]
        return FeatureTable(
            self.ids[chosen],
            self.as_of,
            {name: column[chosen] for name, column in self.numbers.items()},
            {name: column[chosen] for name, column in self.texts.items()},
            None if self.shares is None else _shares_of(self.shares, chosen, len(self.ids)),
        )

    def digest(self) -> str:
        """SHA-256 (hex) of the whole, the same for equal tables: the data hash of a run."""
        import hashlib

        found = hashlib.sha256(f"{self.as_of}".encode() + self.ids.tobytes())
        for name, column in [*self.numbers.items(), *self.texts.items()]:
            found.update(f"\0{name}\0{column.dtype}\0".encode() + column.tobytes())
        if self.shares is not None:
            for part in (self.shares.rows, self.shares.categories, self.shares.shares):
                found.update(f"\0{part.dtype}\0".encode() + part.tobytes())
        return found.hexdigest()


def _shares_of(shares: Shares, chosen: "NDArray[np.int64]", n: int) -> Shares:
    import numpy as np

    place = np.full(n, -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    rows = place[shares.rows]
    stays = rows >= 0
    return Shares(rows[stays], shares.categories[stays], shares.shares[stays])
