"""What an item is: TF-IDF of its texts and attributes, compared by cosine.

Weak by itself, and the only word about an item that nobody has touched yet. Texts are cut into
words, attributes stand as they are (`category=tea`); either half counts as much as the other.
Weights are scikit-learn's: `tf * (ln((1 + n) / (1 + df)) + 1)`, rows of length one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TERMS_MAX: Final = 50_000
"""Of the words, the most frequent; a feed of long descriptions has more than can tell apart."""

_WORD: Final = re.compile(r"\w\w+")

Row = Mapping[str, Any]
"""An item's attributes, as the catalog has them."""


@dataclass(frozen=True, eq=False)
class Content:
    """Items by terms, sparse rows of length one (or empty, where nothing is told)."""

    starts: "NDArray[np.int64]"
    codes: "NDArray[np.int32]"
    values: "NDArray[np.float32]"
    n_terms: int

    def table(self) -> Any:
        """The same as a scipy.sparse.csr_array."""
        from scipy.sparse import csr_array

        shape = (len(self.starts) - 1, self.n_terms)
        return csr_array((self.values, self.codes, self.starts), shape=shape)


def fit_content(
    rows: Sequence[Row], *, text: Sequence[str], attributes: Sequence[str]
) -> Content | None:
    """What the items are, a row each; None if not one tells anything."""
    import numpy as np
    from scipy.sparse import hstack

    halves = [
        half
        for half in (
            _tfidf([_words(row, text) for row in rows]),
            _tfidf([_marks(row, attributes) for row in rows]),
        )
        if half is not None
    ]
    if not halves:
        return None
    table = _of_length_one(hstack(halves, format="csr"))
    table.sort_indices()
    return Content(
        table.indptr.astype(np.int64),
        table.indices.astype(np.int32),
        table.data.astype(np.float32),
        table.shape[1],
    )


def _words(row: Row, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        value = row.get(name)
        if value is not None:
            yield from _WORD.findall(str(value).lower())


def _marks(row: Row, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        value = row.get(name)
        several = value if isinstance(value, list | tuple) else (value,)
        yield from (f"{name}={str(it).strip().lower()}" for it in several if it not in (None, ""))


def _tfidf(documents: Sequence[Iterable[str]]) -> Any:
    """Sparse rows of length one; None if there are no terms."""
    import numpy as np
    from scipy.sparse import csr_array

    counted = [Counter(it) for it in documents]
    frequency: Counter[str] = Counter()
    for terms in counted:
        frequency.update(terms.keys())
    if not frequency:
        return None
    # The most frequent, ties by the alphabet: the order of the feed must not matter.
    kept = sorted(frequency, key=lambda it: (-frequency[it], it))[:TERMS_MAX]
    places = {term: place for place, term in enumerate(sorted(kept))}
    idf = {it: np.log((1 + len(documents)) / (1 + frequency[it])) + 1 for it in kept}
    starts, codes, values = [0], [], []
    for terms in counted:
        for term in sorted(terms):
            if term in places:
                codes.append(places[term])
                values.append(terms[term] * idf[term])
        starts.append(len(codes))
    return _of_length_one(csr_array((values, codes, starts), shape=(len(documents), len(places))))


def _of_length_one(table: Any) -> Any:
    import numpy as np

    lengths = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    per_value = np.repeat(np.where(lengths > 0, lengths, 1.0), np.diff(table.indptr))
    table.data = table.data / per_value
    return table
